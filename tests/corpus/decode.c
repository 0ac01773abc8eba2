// SPDX-License-Identifier: Apache-2.0
// Prints what tl_packet_decode makes of each frame of a capture, one line a frame: the verdict,
// and for TCP and UDP the protocol and encapsulation. The fragment that completes a datagram stands
// for the datagram, as in tshark. Used by tunnels.py. Each frame is read on both ways, and they must
// come to the same.
#include "packet/defrag.h"
#include "packet/walk.h"
#include "pmd/pcap/file.h"

#include <stdio.h>

static bool is_walked_alike(const struct tl_packet *packet, enum tl_decoded decoded,
			    const struct tl_headers *h)
{
	struct tl_headers walked;

	return tl_packet_walk(packet, 0, &walked) == decoded &&
	       memcmp(&walked, h, sizeof(walked)) == 0;
}

static enum tl_decoded decode(struct tl_defrag *defrag, const struct tl_packet *packet,
			      struct tl_headers *ret)
{
	enum tl_decoded decoded = tl_packet_decode(packet, ret);

	if (!is_walked_alike(packet, decoded, ret))
		fprintf(stderr, "the ways differ\n");
	while (decoded == TL_DECODED_FRAGMENT) {
		packet = tl_defrag_add(defrag, packet, ret);
		if (packet == NULL)
			break;
		decoded = tl_packet_decode(packet, ret);
	}
	return decoded;
}

int main(int argc, char **argv)
{
	struct tl_capture_file *file;
	struct tl_capture_record r;
	char error[256];
	int rc;

	if (argc != 2 || tl_capture_file_open(argv[1], &file, error, sizeof(error)) < 0) {
		fprintf(stderr, "%s\n", argc == 2 ? error : "usage: decode FILE");
		return 1;
	}
	const struct tl_defrag_options options = {
		.datagrams_max = 1000, .bytes_max = 16u << 20, .timeout_ns = 30000000000};
	struct tl_defrag *defrag = tl_defrag_create(&options);
	if (defrag == NULL)
		return 1;
	while ((rc = tl_capture_file_next(file, &r)) == 1) {
		const struct tl_chunk chunk = {.data = r.data, .len = r.len};
		const struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1,
						 .link_type = r.link_type, .len = r.len,
						 .original_len = r.original_len,
						 .time_ns = r.time_ns};
		struct tl_headers h;
		enum tl_decoded decoded = decode(defrag, &packet, &h);
		const char *protocol = h.tuple.protocol == 6 ? "tcp" : "udp";
		printf("%s %s ip%u vlans=%u depth=%u\n", tl_decoded_name(decoded),
		       decoded == TL_DECODED_OK ? protocol : "-", h.tuple.ip_version,
		       h.outer.vlan_count, h.outer.tunnel_depth);
	}
	if (rc < 0)
		fprintf(stderr, "%s\n", tl_capture_file_error(file));
	tl_defrag_destroy(defrag);
	tl_capture_file_close(file);
	return rc < 0;
}
