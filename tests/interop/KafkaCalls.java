// SPDX-License-Identifier: Apache-2.0
// What the Java client of Apache Kafka does against a broker, call by call. The client says at
// level DEBUG which requests it sends; kafka_broker.py reads that.
//
// usage: java -cp 'LIBRARIES/*' KafkaCalls.java PLAINTEXT SASL
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;

public class KafkaCalls {
    static String plain, sasl;

    static Properties with(String address, String client, Object... more) {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        p.put("client.id", client);
        p.put("enable.metrics.push", "false");
        for (int i = 0; i < more.length; i += 2)
            p.put(more[i], more[i + 1]);
        return p;
    }

    static KafkaProducer<String, byte[]> producer(String client, Object... more) {
        return new KafkaProducer<>(with(plain, client, more), new StringSerializer(),
                                   new ByteArraySerializer());
    }

    static void fails(String what, KafkaFuture<?> future) throws Exception {
        try {
            future.get();
            throw new IllegalStateException(what + " did not fail");
        } catch (ExecutionException e) {
            System.out.println("failed " + what + " " + e.getCause().getClass().getSimpleName());
        }
    }

    static void administer() throws Exception {
        try (Admin admin = Admin.create(with(plain, "admin"))) {
            admin.createTopics(List.of(new NewTopic("orders", 3, (short) 1),
                                       new NewTopic("billing", 1, (short) 1).configs(
                                           Map.of("max.message.bytes", "20000")))).all().get();
            fails("create", admin.createTopics(List.of(new NewTopic("orders", 3, (short) 1))).all());
            admin.describeTopics(List.of("orders", "billing")).allTopicNames().get();
            fails("describe", admin.describeTopics(List.of("nowhere")).allTopicNames());
            admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, "orders")))
                .all().get();
            admin.incrementalAlterConfigs(Map.of(
                new ConfigResource(ConfigResource.Type.TOPIC, "billing"),
                List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "3600000"),
                                          AlterConfigOp.OpType.SET)))).all().get();
            fails("config", admin.incrementalAlterConfigs(Map.of(
                new ConfigResource(ConfigResource.Type.TOPIC, "billing"),
                List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "soon"),
                                          AlterConfigOp.OpType.SET)))).all());
            admin.describeCluster().nodes().get();
        }
    }

    static void produce() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
            try (var p = producer("p-" + codec, "compression.type", codec)) {
                for (int i = 0; i < 10; i++) {
                    var r = new ProducerRecord<String, byte[]>("orders", i % 3, "k", new byte[100]);
                    r.headers().add("traceparent",
                        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".getBytes(
                            StandardCharsets.US_ASCII));
                    p.send(r).get();
                }
            }
        try (var p = producer("p-silent", "acks", "0", "enable.idempotence", "false",
                              "linger.ms", "0")) {
            for (int i = 0; i < 5; i++) {
                p.send(new ProducerRecord<>("orders", 0, "k", new byte[10])).get();
                p.flush();
            }
            Thread.sleep(200);
        }
        try (var p = producer("p-large", "max.request.size", 4 << 20, "batch.size", 1)) {
            p.send(new ProducerRecord<>("billing", new byte[15000])).get();
            try {
                p.send(new ProducerRecord<>("billing", new byte[30000])).get();
                throw new IllegalStateException("too large a record was taken");
            } catch (ExecutionException e) {
                System.out.println("failed large " + e.getCause().getClass().getSimpleName());
            }
        }
    }

    static int read(String client, String group, String topic, int want, Object... more) {
        Properties p = with(plain, client, more);
        p.put("group.id", group);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        int count = 0;
        try (var c = new KafkaConsumer<>(p, new StringDeserializer(), new ByteArrayDeserializer())) {
            c.subscribe(List.of(topic));
            for (int i = 0; i < 60 && count < want; i++)
                count += c.poll(Duration.ofMillis(500)).count();
            c.poll(Duration.ofMillis(700)); // a long poll that nothing answers
            c.commitSync();
        }
        System.out.println("consumed " + client + " " + count);
        return count;
    }

    static void transact() throws Exception {
        try (var p = producer("p-txn", "transactional.id", "txn-1")) {
            p.initTransactions();
            p.beginTransaction();
            p.send(new ProducerRecord<>("billing", "k", new byte[50])).get();
            p.sendOffsetsToTransaction(
                Map.of(new TopicPartition("orders", 0), new OffsetAndMetadata(1)),
                new ConsumerGroupMetadata("txn-group"));
            p.commitTransaction();
            p.beginTransaction();
            p.send(new ProducerRecord<>("billing", "k", new byte[50])).get();
            p.abortTransaction();
        }
    }

    static void authenticate(String mechanism, String module, String password) throws Exception {
        String jaas = "org.apache.kafka.common.security." + module +
            " required username=\"app\" password=\"" + password + "\";";
        try (Admin admin = Admin.create(with(sasl, "auth", "security.protocol", "SASL_PLAINTEXT",
                "sasl.mechanism", mechanism, "sasl.jaas.config", jaas, "retries", 0,
                "default.api.timeout.ms", 5000, "request.timeout.ms", 4000))) {
            if (password.equals("secret"))
                admin.describeCluster().nodes().get();
            else
                fails("login", admin.describeCluster().nodes());
        }
    }

    static void tidyUp() throws Exception {
        try (Admin admin = Admin.create(with(plain, "admin"))) {
            admin.listGroups().all().get();
            admin.describeClassicGroups(List.of("readers")).all().get();
            admin.listConsumerGroupOffsets("readers").partitionsToOffsetAndMetadata().get();
            admin.listOffsets(Map.of(new TopicPartition("orders", 0), OffsetSpec.latest())).all().get();
            admin.deleteRecords(Map.of(new TopicPartition("orders", 0),
                                       RecordsToDelete.beforeOffset(1))).all().get();
            admin.listTransactions().all().get();
            admin.deleteConsumerGroups(List.of("readers")).all().get();
            fails("group", admin.deleteConsumerGroups(List.of("nobody")).all());
            admin.deleteTopics(List.of("billing")).all().get();
        }
    }

    public static void main(String[] arguments) throws Exception {
        plain = arguments[0];
        sasl = arguments[1];
        administer();
        produce();
        read("c-classic", "readers", "orders", 55);
        read("c-new", "readers-2", "orders", 55, "group.protocol", "consumer");
        transact();
        read("c-committed", "readers-3", "billing", 2, "isolation.level", "read_committed");
        authenticate("PLAIN", "plain.PlainLoginModule", "secret");
        authenticate("SCRAM-SHA-256", "scram.ScramLoginModule", "secret");
        authenticate("PLAIN", "plain.PlainLoginModule", "wrong");
        tidyUp();
        System.out.println("finished");
    }
}
