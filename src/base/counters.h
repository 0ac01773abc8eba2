// SPDX-License-Identifier: Apache-2.0
// Every plain counter of the probe, in one table: name, labels and help of the exported metric
// stand beside the id, and the self metrics and docs/metrics.md are made from it. Each worker has
// its own array (single writer); the control lcore copies them together with the metric banks,
// so that the books close within one epoch. Ids are not stable, names are.
#pragma once

#include <stdint.h>

// X(id, family, labels, help). Rows of one family stand together. Families end in _total unless
// they are gauges (counted up and down by their owner).
#define TL_COUNTERS(X) \
	/* packets: offered = processed + dropped by cause + queued */ \
	X(PACKETS_OFFERED, "tapline_packets_offered_total", "", "Packets the ports handed over.") \
	X(PACKETS_PROCESSED, "tapline_packets_processed_total", "", "Packets that reached the flow table.") \
	X(DROP_NOT_IP, "tapline_packets_dropped_total", "cause=\"not_ip\"", "Packets not followed, by cause.") \
	X(DROP_OTHER_L4, "tapline_packets_dropped_total", "cause=\"other_l4\"", "") \
	X(DROP_LINK_TYPE, "tapline_packets_dropped_total", "cause=\"link_type\"", "") \
	X(DROP_MALFORMED, "tapline_packets_dropped_total", "cause=\"malformed\"", "") \
	X(DROP_TRUNCATED, "tapline_packets_dropped_total", "cause=\"truncated\"", "") \
	X(DROP_TOO_DEEP, "tapline_packets_dropped_total", "cause=\"too_deep\"", "") \
	X(DROP_FILTERED, "tapline_packets_dropped_total", "cause=\"filtered\"", "") \
	X(DROP_FRAGMENT, "tapline_packets_dropped_total", "cause=\"fragment\"", "") \
	X(DROP_FLOW_TABLE, "tapline_packets_dropped_total", "cause=\"flow_table_full\"", "") \
	X(DROP_SHED, "tapline_packets_dropped_total", "cause=\"shed\"", "") \
	X(FRAGMENTS_USED, "tapline_fragments_reassembled_total", "", "Fragments that went into complete datagrams.") \
	X(BYTES_OFFERED, "tapline_bytes_offered_total", "", "Bytes on the wire of the packets offered.") \
	X(SNAPLEN_CUT, "tapline_packets_cut_total", "", "Packets whose payload the snaplen cut.") \
	/* flows */ \
	X(FLOWS_TCP, "tapline_flows_opened_total", "l4=\"tcp\"", "Flows entered into the table.") \
	X(FLOWS_UDP, "tapline_flows_opened_total", "l4=\"udp\"", "") \
	X(FLOWS_EVICTED, "tapline_flows_evicted_total", "", "Flows removed early because a table was full.") \
	X(FLOWS_ONE_SIDED, "tapline_flows_one_sided_total", "", "TCP flows with payload of which only one direction was ever seen, counted when they end.") \
	X(SYN_ONLY, "tapline_syn_only_entries_total", "", "SYNs kept in the small table.") \
	X(SYN_ONLY_EVICTED, "tapline_syn_only_evicted_total", "", "SYN entries removed early because the table was full.") \
	/* what encrypted connections say of themselves in the clear */ \
	X(TLS_1_0, "tapline_tls_connections_total", "version=\"1.0\"", "TLS connections by the highest version of the first hello that was read.") \
	X(TLS_1_1, "tapline_tls_connections_total", "version=\"1.1\"", "") \
	X(TLS_1_2, "tapline_tls_connections_total", "version=\"1.2\"", "") \
	X(TLS_1_3, "tapline_tls_connections_total", "version=\"1.3\"", "") \
	X(TLS_UNREAD, "tapline_tls_connections_total", "version=\"unread\"", "") \
	X(TLS_ALPN_H2, "tapline_tls_alpn_total", "protocol=\"h2\"", "TLS connections by the first protocol their ClientHello offers (ALPN).") \
	X(TLS_ALPN_HTTP_1_1, "tapline_tls_alpn_total", "protocol=\"http/1.1\"", "") \
	X(TLS_ALPN_OTHER, "tapline_tls_alpn_total", "protocol=\"other\"", "") \
	X(TLS_ALPN_NONE, "tapline_tls_alpn_total", "protocol=\"none\"", "") \
	X(TLS_SNI_PRESENT, "tapline_tls_sni_total", "present=\"yes\"", "ClientHellos with and without a server name.") \
	X(TLS_SNI_ABSENT, "tapline_tls_sni_total", "present=\"no\"", "") \
	X(QUIC_1, "tapline_quic_connections_total", "version=\"1\"", "QUIC conversations by version.") \
	X(QUIC_2, "tapline_quic_connections_total", "version=\"2\"", "") \
	X(QUIC_OTHER, "tapline_quic_connections_total", "version=\"other\"", "") \
	/* L4, names of packetd first */ \
	X(TCP_PACKETS, "tcp_received_packets_total", "", "TCP packets.") \
	X(TCP_BYTES, "tcp_received_bytes_total", "", "TCP payload bytes.") \
	X(TCP_SKIPPED, "tcp_skipped_packets_total", "", "TCP packets that brought nothing new (retransmissions, keep-alives).") \
	X(UDP_PACKETS, "udp_received_packets_total", "", "UDP packets.") \
	X(UDP_BYTES, "udp_received_bytes_total", "", "UDP payload bytes.") \
	X(TCP_ACTIVE, "tcp_active_conns", "", "TCP connections in the table now.") \
	X(UDP_ACTIVE, "udp_active_conns", "", "UDP conversations in the table now.") \
	X(TCP_EXPIRED, "tcp_remove_expired_conns_total", "", "TCP connections removed because they were silent.") \
	X(UDP_EXPIRED, "udp_remove_expired_conns_total", "", "UDP conversations removed because they were silent.") \
	X(TCP_RETRANSMITTED, "tcp_retransmitted_segments_total", "", "TCP segments that repeat bytes seen before.") \
	X(TCP_RETRANSMITTED_SYN, "tcp_retransmitted_syns_total", "", "SYNs and SYN-ACKs sent again.") \
	X(TCP_OUT_OF_ORDER, "tcp_out_of_order_segments_total", "", "TCP segments that came before an earlier one.") \
	X(TCP_LATE, "tcp_late_sides_total", "", "TCP connections one side of which showed up behind the answers to what it had sent.") \
	X(TCP_ZERO_WINDOWS, "tcp_zero_windows_total", "", "Times a receive window went to zero.") \
	X(TCP_RESETS_CLIENT, "tcp_resets_total", "side=\"client\"", "Connections ended by RST, by sender.") \
	X(TCP_RESETS_SERVER, "tcp_resets_total", "side=\"server\"", "") \
	X(TCP_HANDSHAKES, "tcp_handshakes_total", "", "Complete three-way handshakes.") \
	X(TCP_FAIL_REFUSED, "tcp_failed_connects_total", "cause=\"refused\"", "Connection attempts that failed: refused by RST, no answer, or given up by the client.") \
	X(TCP_FAIL_NO_ANSWER, "tcp_failed_connects_total", "cause=\"no_answer\"", "") \
	X(TCP_FAIL_CLIENT, "tcp_failed_connects_total", "cause=\"client_gave_up\"", "") \
	X(TCP_KEEP_ALIVES, "tcp_keep_alives_total", "", "Keep-alive probes.") \
	X(DUPLICATES_TCP, "tapline_duplicate_packets_total", "l4=\"tcp\"", "Copies of a packet that the capture delivered more than once.") \
	X(DUPLICATES_UDP, "tapline_duplicate_packets_total", "l4=\"udp\"", "") \
	/* bytes of TCP streams and datagrams:
	   payload = decoded + skipped + ignored + buffered; lost never arrived */ \
	X(STREAM_BYTES, "tapline_stream_bytes_total", "", "Payload bytes in order, after removal of repeats.") \
	X(STREAM_DECODED, "tapline_stream_bytes_by_use_total", "use=\"decoded\"", "In-order payload bytes by what became of them.") \
	X(STREAM_SKIPPED, "tapline_stream_bytes_by_use_total", "use=\"skipped\"", "") \
	X(STREAM_IGNORED, "tapline_stream_bytes_by_use_total", "use=\"ignored\"", "") \
	X(STREAM_BUFFERED, "tapline_stream_bytes_buffered", "", "Payload bytes held until more arrives.") \
	X(STREAM_LOST, "tapline_stream_bytes_lost_total", "", "Payload bytes that the capture never saw.") \
	X(STREAM_GAPS, "tapline_stream_gaps_total", "", "Holes given up as lost.") \
	X(OVERLAP_DIFFERENT, "tapline_overlaps_different_total", "", "Segments whose bytes contradict those seen first.") \
	X(REORDER_FULL, "tapline_reorder_pool_full_total", "", "Segments not kept because the reorder pool or the flow's share was full.") \
	X(CARRY_FULL, "tapline_carry_pool_full_total", "", "Messages given up because no carry buffer was free.") \
	X(CONN_FULL, "tapline_connection_pool_full_total", "", "Connections not decoded because the pool was full.") \
	X(STATE_FULL, "tapline_state_pool_full_total", "", "Connections not decoded because no state was free.") \
	/* requests: opened = completed by status + open */ \
	X(REQUESTS_OPENED, "tapline_requests_opened_total", "", "Requests that entered the pairing queue.") \
	X(REQUESTS_OPEN, "tapline_requests_open", "", "Requests waiting for their answer now.") \
	X(REQUESTS_REFUSED, "tapline_requests_refused_total", "", "Messages without a record because a pool was full.") \
	X(LATE_RESPONSES, "tapline_late_responses_total", "", "Answers that came after their time-out was recorded.") \
	X(MESSAGE_CUT, "tapline_message_values_cut_total", "", "Field values cut or left out by a limit.") \
	X(INTERIM_RESPONSES, "tapline_interim_responses_total", "", "Parts of an answer that did not complete it.") \
	X(DECODE_STOPPED, "tapline_decoders_stopped_total", "", "Lanes whose decoder gave up.") \
	X(DECODE_CONTRACT, "tapline_decoder_contract_violations_total", "", "Answers of a decoder that break the contract: a bug of ours.") \
	X(CHILDREN_REFUSED, "tapline_children_refused_total", "", "Streams inside a connection beyond the limit.") \
	X(INFLATED, "tapline_inflated_bytes_total", "", "Bytes that came out of compressed payloads.") \
	X(INFLATE_NO_CONTEXT, "tapline_inflate_failures_total", "cause=\"no_context\"", "Compressed payloads that were not read, by cause.") \
	X(INFLATE_NOT_BUILT, "tapline_inflate_failures_total", "cause=\"not_built_in\"", "") \
	X(INFLATE_RATIO, "tapline_inflate_failures_total", "cause=\"ratio\"", "") \
	X(INFLATE_WINDOW, "tapline_inflate_failures_total", "cause=\"window\"", "") \
	X(INFLATE_BROKEN, "tapline_inflate_failures_total", "cause=\"broken\"", "") \
	X(RECORDS, "tapline_records_total", "", "Roundtrips completed.") \
	X(RECORDS_DROPPED, "tapline_records_dropped_total", "", "Roundtrips that metrics counted but the record ring had no room for.") \
	X(NAMES_DROPPED, "tapline_names_dropped_total", "", "Names of TLS connections that the record ring had no room for; the connections are counted.") \
	X(ROUNDTRIPS_IGNORED, "tapline_roundtrips_ignored_total", "", "Roundtrips left out of the metrics because metrics.templates says to ignore them.") \
	X(SERIES_OVERFLOW, "tapline_series_overflow_total", "", "Roundtrips counted under the label value other because a budget was used up.") \
	X(CLOCK_JUMPS, "tapline_clock_jumps_total", "", "Packet times far ahead of the clock.") \
	X(CLOCK_BACKWARD, "tapline_clock_backward_total", "", "Packet times behind the clock.")

#define TL_COUNTER_ID(id, family, labels, help) TL_COUNT_##id,
enum tl_counter { TL_COUNTERS(TL_COUNTER_ID) TL_COUNTER_COUNT };

struct tl_counters {
	uint64_t at[TL_COUNTER_COUNT];
};

static inline void tl_counter_add(struct tl_counters *c, enum tl_counter id, uint64_t n)
{
	c->at[id] += n;
}
