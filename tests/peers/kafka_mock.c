// SPDX-License-Identifier: Apache-2.0
// librdkafka's mock cluster as a server for tests. Prints the addresses of its brokers, then obeys
// lines on standard input until that ends:
//
//	topic NAME PARTITIONS
//	fail API CODE COUNT    the next COUNT requests of that API key are answered with CODE
//	delay BROKER MS        round trips of that broker take so long
//
// usage: kafka_mock [BROKERS]
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <stdio.h>
#include <stdlib.h>

#define TOPIC_BYTES_MAX 64

static void obey(rd_kafka_mock_cluster_t *cluster, const char *line)
{
	char topic[TOPIC_BYTES_MAX];
	int a, b, c;

	if (sscanf(line, "topic %63s %d", topic, &a) == 2) {
		rd_kafka_mock_topic_create(cluster, topic, a, 1);
	} else if (sscanf(line, "fail %d %d %d", &a, &b, &c) == 3) {
		for (int i = 0; i < c; i++)
			rd_kafka_mock_push_request_errors(cluster, (int16_t)a, 1,
							  (rd_kafka_resp_err_t)b);
	} else if (sscanf(line, "delay %d %d", &a, &b) == 2) {
		rd_kafka_mock_broker_set_rtt(cluster, a, b);
	} else {
		fprintf(stderr, "kafka_mock: what is this: %s", line);
		return;
	}
	printf("done\n");
}

int main(int argc, char **argv)
{
	int brokers = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
	char error[256];
	char line[256];

	setvbuf(stdout, NULL, _IOLBF, 0);
	rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), error,
					 sizeof(error));
	rd_kafka_mock_cluster_t *cluster =
		kafka == NULL ? NULL : rd_kafka_mock_cluster_new(kafka, brokers);
	if (cluster == NULL) {
		fprintf(stderr, "kafka_mock: no cluster\n");
		return 1;
	}
	printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
	while (fgets(line, sizeof(line), stdin) != NULL)
		obey(cluster, line);
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(kafka);
	return 0;
}
