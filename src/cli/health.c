// SPDX-License-Identifier: Apache-2.0
// tapline health: is the agent of this machine ready? For images without a shell or curl.
#include <stddef.h>
#include <stdio.h>

#include <curl/curl.h>

#include "cli/commands.h"
#include "config/config.h"

#define ANSWER_MS 10000l
#define HTTP_OK 200l
#define URL_BYTES 512u

struct health_options {
	const char *config;
};

static size_t ignore(char *data, size_t size, size_t count, void *arg)
{
	(void)data;
	(void)arg;
	return size * count;
}

static int ask(const char *url)
{
	char detail[CURL_ERROR_SIZE] = "";
	long code = 0;
	CURL *curl = curl_easy_init();

	if (curl == NULL)
		return tl_cli_error(TL_EXIT_FAILURE, "out of memory");
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, ""); // not what the environment says
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1l);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	CURLcode rc = curl_easy_perform(curl);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_cleanup(curl);
	if (rc != CURLE_OK)
		return tl_cli_error(TL_EXIT_FAILURE, "%s: %s", url,
				    *detail != '\0' ? detail : curl_easy_strerror(rc));
	if (code != HTTP_OK)
		return tl_cli_error(TL_EXIT_FAILURE, "%s: not ready, status %ld", url, code);
	return TL_EXIT_DONE;
}

static int run_health(const void *options, const struct tl_arguments *arguments)
{
	const struct health_options *given = options;
	const char *path = tl_agent_path(given->config);
	struct tl_config_errors errors = {0};
	struct tl_config *config = NULL;
	int status;

	(void)arguments;
	if (path == NULL)
		config = tl_config_default();
	else if (tl_config_load(path, &config, &errors) < 0)
		return tl_cli_error(TL_EXIT_USAGE, "%s is no configuration: tapline config --check",
				    path);
	if (config == NULL)
		return tl_cli_error(TL_EXIT_FAILURE, "out of memory");
	if (config->server.enabled) {
		const char *address = config->server.address;
		char url[URL_BYTES];

		(void)snprintf(url, sizeof(url), "http://%s%s/readyz",
			       *address == ':' ? "localhost" : "", address);
		status = ask(url);
	} else {
		status = tl_cli_error(TL_EXIT_USAGE, "server.enabled is false: nobody can be asked");
	}
	tl_config_free(config);
	return status;
}

static const struct tl_flag health_flags[] = {
	{.name = "config", .letter = 'c', .type = TL_FLAG_TEXT,
	 .offset = (uint32_t)offsetof(struct health_options, config), .argument = "FILE",
	 .help = "Configuration of the agent; without it as for the agent"},
	TL_FLAG_END,
};

const struct tl_command tl_command_health = {
	.name = "health",
	.summary = "Ask the agent of this machine whether it is ready",
	.description = "Exit status 0 and not a word if it is, else 1 and a line: for containers and scripts.",
	.flags = health_flags,
	.options_size = sizeof(struct health_options),
	.run = run_health,
};
