// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include <curl/curl.h>
#include <jansson.h>
#include <libsmartcols/libsmartcols.h>
#include <microhttpd.h>
#include <pcap/pcap.h>
#include <protobuf-c/protobuf-c.h>
#include <rte_version.h>
#include <yaml.h>
#include <zlib.h>
#if TL_HAVE_ZSTD
#include <zstd.h>
#endif

#include "cli/commands.h"
#include "revision.h" // generated

// rte_version() reads a constant of librte_eal; EAL itself isn't started.
static int run_version(const void *options, const struct tl_arguments *arguments)
{
	const char *smartcols = "";

	(void)options;
	(void)arguments;
	(void)scols_get_library_version(&smartcols);
	(void)printf("tapline %s\n", TL_VERSION);
	(void)printf("revision      %s\n", TL_REVISION);
	(void)printf("features      %s\n", TL_FEATURES);
	(void)printf("compiler      " __VERSION__ "\n");
	(void)printf("dpdk          %s (compiled with %d.%02d.%d)\n", rte_version(), RTE_VER_YEAR,
		     RTE_VER_MONTH, RTE_VER_MINOR);
	(void)printf("libpcap       %s\n", pcap_lib_version());
	(void)printf("libyaml       %s\n", yaml_get_version_string());
	(void)printf("jansson       %s\n", jansson_version_str());
	(void)printf("libmicrohttpd %s\n", MHD_get_version());
	(void)printf("libsmartcols  %s\n", smartcols);
	(void)printf("libcurl       %s\n", curl_version_info(CURLVERSION_NOW)->version);
	(void)printf("protobuf-c    %s\n", protobuf_c_version());
	(void)printf("zlib          %s\n", zlibVersion());
#if TL_HAVE_ZSTD
	(void)printf("libzstd       %s\n", ZSTD_versionString());
#endif
	return TL_EXIT_DONE;
}

const struct tl_command tl_command_version = {
	.name = "version",
	.summary = "Print version, git revision, build features, DPDK and library versions",
	.run = run_version,
};
