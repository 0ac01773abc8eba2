// SPDX-License-Identifier: Apache-2.0
// The conversation with the API server: for pods and for services a list in pages, then a watch from
// the list's version on, which is a response without end that has one event per line. Bookmarks keep
// the version young. 410 Gone says that it is too old: all is listed anew. Whatever else fails is
// tried again, less and less often.
#include "control/kube.h"

#include "base/json_parts.h"
#include "base/text.h"
#include "control/kube_internal.h"
#include "control/log.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_OBJECTS 200u             // of a list; less where they are too large
#define PAGE_BYTES_MAX (16u << 20)
#define LINE_BYTES_MAX (4u << 20)     // of an event; etcd keeps no object above 1.5 MiB
#define ANSWER_BYTES_MAX (16u << 10)  // of a refusal
#define JSON_PARTS_MAX (1u << 20)     // of one of these; each may take 300 bytes when it is parsed
#define TOKEN_BYTES_MAX 16384u
#define CONNECT_MS 10000L
#define LIST_MS 60000L
#define WATCH_S 300u                  // asked for; the server ends the watch then
#define WATCH_GRACE_MS 30000L         // and if it doesn't, we do
#define BACKOFF_NS UINT64_C(1000000000)
#define BACKOFF_DOUBLINGS_MAX 6u      // up to a minute
#define SHORT_WATCH_NS UINT64_C(1000000000) // one that ends sooner, without an event, has failed
#define BAD_WATCHES_MAX 3u            // in a row; then the version may be what they fail at
#define SWEEP_NS UINT64_C(10000000000)
#define WAIT_MS_MAX 1000

static const char *const paths[TL_KUBE_KINDS] = {"/api/v1/pods", "/api/v1/services"};
static const char *const resources[TL_KUBE_KINDS] = {"pods", "services"};

enum state { STATE_WAITING, STATE_LISTING, STATE_WATCHING };
// How events ended a watch: GONE asks for a new list.
enum ending { ENDING_NONE, ENDING_GONE, ENDING_ERROR };

struct watch {
	struct tl_kube *kube;
	enum tl_kube_kind kind;
	enum state state;
	CURL *curl;
	struct curl_slist *headers;
	uint64_t due_ns;    // WAITING: when to ask next
	uint64_t asked_ns;
	uint32_t failures;  // in a row
	uint32_t bad_watches; // in a row, lists between them aside
	uint32_t page;      // objects of a page to ask for
	bool is_too_large;  // the answer was
	enum ending ending; // of a watch
	char said[160];     // why, with ENDING_ERROR
	char told[160];     // what the log was told last, "" when all is well
	bool has_events;    // since it was asked
	char version[128];  // to watch from, "" to list first
	char *next;         // where the list goes on, NULL: at its beginning
	struct tl_text body; // of a page or a refusal, or what has come of a line
	char detail[CURL_ERROR_SIZE];
};

struct tl_kube {
	char *server, *token_file, *authority, *certificate, *key, *node;
	struct tl_kube_table *table;
	struct watch watches[TL_KUBE_KINDS];
	CURLM *multi;
	pthread_t thread;
	bool has_thread;
	atomic_bool is_stopping;
	unsigned random;       // state of rand_r
	pthread_mutex_t lock;  // for what follows
	struct tl_kube_stats stats;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;
	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text == NULL ? "" : text;
}

// ---- What becomes of a request -------------------------------------------------------------------

static void note_success(struct watch *w, bool is_list, bool is_event)
{
	struct tl_kube *kube = w->kube;

	if (!is_list)
		w->bad_watches = 0;
	bool is_well = w->bad_watches == 0; // lists alone don't make it so
	w->failures = w->bad_watches;
	if (is_well && w->told[0] != '\0')
		tl_log(TL_LOG_SEVERITY_INFO, "kubernetes: %s: answered again", resources[w->kind]);
	if (is_well)
		w->told[0] = '\0';
	(void)pthread_mutex_lock(&kube->lock);
	kube->stats.of[w->kind].lists += is_list;
	kube->stats.of[w->kind].events += is_event;
	kube->stats.of[w->kind].last_success_ns = clock_ns(CLOCK_REALTIME);
	if (is_well)
		kube->stats.of[w->kind].last_error[0] = '\0';
	(void)pthread_mutex_unlock(&kube->lock);
}

// Anything between a half and the whole of the pause, so that probes don't come together.
static void back_off(struct watch *w)
{
	uint32_t doublings = w->failures < BACKOFF_DOUBLINGS_MAX ? w->failures : BACKOFF_DOUBLINGS_MAX;
	uint64_t half = BACKOFF_NS << doublings >> 1;

	w->due_ns += half + half / 1024 * ((unsigned)rand_r(&w->kube->random) % 1024);
	w->failures++;
}

static void note_failure(struct watch *w, const char *what)
{
	struct tl_kube *kube = w->kube;

	back_off(w);
	if (strcmp(w->told, what) != 0) // once, not with every try
		tl_log(TL_LOG_SEVERITY_WARNING, "kubernetes: %s: %s; trying again", resources[w->kind],
		       what);
	(void)snprintf(w->told, sizeof(w->told), "%s", what);
	(void)pthread_mutex_lock(&kube->lock);
	kube->stats.of[w->kind].errors++;
	(void)snprintf(kube->stats.of[w->kind].last_error, sizeof(w->told), "%s", what);
	(void)pthread_mutex_unlock(&kube->lock);
}

static void list_anew(struct watch *w)
{
	w->version[0] = '\0';
	free(w->next);
	w->next = NULL;
}

// A version is opaque; one that doesn't fit is none of Kubernetes'.
static void set_version(struct watch *w, const char *version)
{
	if (version[0] != '\0' && strlen(version) < sizeof(w->version))
		(void)snprintf(w->version, sizeof(w->version), "%s", version);
}

// ---- Answers -------------------------------------------------------------------------------------

static void take_event(struct watch *w, const json_t *event)
{
	const char *type = text_of(event, "type");
	const json_t *json = json_object_get(event, "object");
	struct tl_kube_object object;

	if (strcmp(type, "ERROR") == 0) {
		json_int_t code = json_integer_value(json_object_get(json, "code"));
		w->ending = code == 410 ? ENDING_GONE : ENDING_ERROR;
		(void)snprintf(w->said, sizeof(w->said), "the watch: %d %s", (int)code,
			       text_of(json, "message"));
		return;
	}
	w->has_events = true;
	set_version(w, text_of(json_object_get(json, "metadata"), "resourceVersion"));
	bool is_object = strcmp(type, "BOOKMARK") != 0 && tl_kube_object_read(w->kind, json, &object);
	if (is_object && strcmp(type, "DELETED") == 0)
		tl_kube_table_remove(w->kube->table, w->kind, &object, clock_ns(CLOCK_MONOTONIC));
	else if (is_object)
		tl_kube_table_put(w->kube->table, w->kind, &object, clock_ns(CLOCK_MONOTONIC));
	note_success(w, false, true);
}

// NULL: it is no JSON, or is too large. An answer of small parts only takes many times its bytes.
static json_t *parse(struct watch *w)
{
	w->is_too_large |= !tl_json_is_within(w->body.data, w->body.len, JSON_PARTS_MAX);
	if (w->is_too_large || w->body.len == 0)
		return NULL;
	return json_loadb(w->body.data, w->body.len, 0, NULL);
}

static void fail_watch(struct watch *w, const char *what)
{
	w->ending = ENDING_ERROR;
	(void)snprintf(w->said, sizeof(w->said), "the watch: %s", what);
}

static void take_line(struct watch *w)
{
	json_t *event = parse(w);

	if (event != NULL)
		take_event(w, event);
	else if (w->body.len != 0)
		fail_watch(w, w->is_too_large ? "an event is too large" : "an event is no JSON");
	json_decref(event);
}

// Cuts what comes into lines. False: enough of this watch.
static bool take_lines(struct watch *w, const char *data, size_t len)
{
	while (len != 0 && w->ending == ENDING_NONE) {
		const char *end = memchr(data, '\n', len);
		size_t part = end == NULL ? len : (size_t)(end - data);
		if (w->body.len + part > LINE_BYTES_MAX) {
			fail_watch(w, "an event is too large");
			break;
		}
		tl_text_add(&w->body, data, part);
		if (end == NULL)
			return true;
		take_line(w);
		tl_text_clear(&w->body);
		data += part + 1;
		len -= part + 1;
	}
	return w->ending == ENDING_NONE;
}

static size_t take_bytes(char *data, size_t size, size_t count, void *arg)
{
	struct watch *w = arg;
	size_t len = size * count;
	long status = 0;

	(void)curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
	if (w->state == STATE_WATCHING && status == 200)
		return take_lines(w, data, len) ? len : 0;
	size_t max = status == 200 ? PAGE_BYTES_MAX : ANSWER_BYTES_MAX;
	if (w->body.len + len > max) {
		w->is_too_large = true;
		return 0;
	}
	tl_text_add(&w->body, data, len);
	return len;
}

// True: it was a page of a list, and `next` tells where the list goes on.
static bool take_page(struct watch *w)
{
	json_t *page = parse(w);
	const json_t *metadata = json_object_get(page, "metadata");
	const json_t *items = json_object_get(page, "items");
	const char *next = text_of(metadata, "continue");
	struct tl_kube_object object;
	json_t *item;
	size_t i;
	const char *version = text_of(metadata, "resourceVersion");
	// A list without items may have null there; without a version there is nothing to watch from.
	bool is_list = (json_is_array(items) || json_is_null(items)) && version[0] != '\0' &&
		       strlen(version) < sizeof(w->version);

	json_array_foreach(items, i, item)
		if (tl_kube_object_read(w->kind, item, &object))
			tl_kube_table_put(w->kube->table, w->kind, &object, clock_ns(CLOCK_MONOTONIC));
	if (is_list) {
		free(w->next);
		w->next = next[0] == '\0' ? NULL : strdup(next);
		if (w->next == NULL)
			set_version(w, version);
	}
	json_decref(page);
	return is_list;
}

// The message that the API server gives with a refusal, else nothing.
static void describe(struct watch *w, CURLcode code, long status, char *ret_what, size_t size)
{
	json_t *answer = parse(w);
	const char *message = text_of(answer, "message");

	if (w->is_too_large && status == 200)
		(void)snprintf(ret_what, size, "an answer is too large");
	else if (status != 0 && status != 200)
		(void)snprintf(ret_what, size, "HTTP status %ld%s%s", status, *message == 0 ? "" : ": ",
			       message);
	else
		(void)snprintf(ret_what, size, "%.*s", (int)size - 1,
			       w->detail[0] != '\0' ? w->detail : curl_easy_strerror(code));
	json_decref(answer);
}

static void end_list(struct watch *w, CURLcode code, long status)
{
	char what[160];

	if (code == CURLE_OK && status == 200 && take_page(w)) {
		if (w->next == NULL) {
			tl_kube_table_end_list(w->kube->table, w->kind, clock_ns(CLOCK_MONOTONIC));
			note_success(w, true, false);
			w->page = PAGE_OBJECTS;
		}
		return;
	}
	if (w->is_too_large && w->page > 1)
		w->page /= 2;
	list_anew(w); // also by 410: the place where to go on has become too old
	if (code == CURLE_OK && status == 200 && !w->is_too_large)
		(void)snprintf(what, sizeof(what), "the answer is no list");
	else
		describe(w, code, status, what, sizeof(what));
	note_failure(w, what);
}

// The server refused the watch, or broke it off with an error. What it can't get over may be the
// version: it asks for a new list.
static void note_bad_watch(struct watch *w, const char *what)
{
	if (++w->bad_watches >= BAD_WATCHES_MAX)
		list_anew(w);
	note_failure(w, what);
}

static void end_watch(struct watch *w, CURLcode code, long status)
{
	bool is_short = !w->has_events && w->due_ns - w->asked_ns < SHORT_WATCH_NS;
	char what[160];

	if (w->ending == ENDING_GONE || status == 410) {
		list_anew(w);
		if (is_short) // in order, but not in a circle
			back_off(w);
	} else if (w->ending == ENDING_ERROR) {
		note_bad_watch(w, w->said);
	} else if (status != 0 && status != 200) {
		describe(w, code, status, what, sizeof(what));
		note_bad_watch(w, what);
	} else if (code != CURLE_OK) {
		describe(w, code, status, what, sizeof(what));
		note_failure(w, what);
	} else if (is_short) {
		note_bad_watch(w, "the watch ends at once");
	} else {
		note_success(w, false, false);
	}
}

static void end_request(struct watch *w, CURLcode code)
{
	enum state state = w->state;
	long status = 0;

	(void)curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_multi_remove_handle(w->kube->multi, w->curl);
	w->state = STATE_WAITING;
	w->due_ns = clock_ns(CLOCK_MONOTONIC);
	if (state == STATE_LISTING)
		end_list(w, code, status);
	else
		end_watch(w, code, status);
	tl_text_free(&w->body);
}

// ---- Requests ------------------------------------------------------------------------------------

// Read for each request: Kubernetes replaces the token before it expires.
static struct curl_slist *bearer(const char *token_file)
{
	static const char prefix[] = "Authorization: Bearer ";
	char header[sizeof(prefix) + TOKEN_BYTES_MAX];
	FILE *file = token_file[0] == '\0' ? NULL : fopen(token_file, "re");

	if (file == NULL)
		return NULL;
	memcpy(header, prefix, sizeof(prefix));
	size_t len = fread(header + sizeof(prefix) - 1, 1, TOKEN_BYTES_MAX, file);
	(void)fclose(file);
	header[sizeof(prefix) - 1 + len] = '\0';
	header[strcspn(header, "\r\n")] = '\0';
	return curl_slist_append(NULL, header);
}

static void add_parameter(CURL *curl, struct tl_text *url, const char *name, const char *value)
{
	char *escaped = curl_easy_escape(curl, value, 0);

	if (escaped != NULL)
		tl_text_printf(url, "&%s=%s", name, escaped);
	curl_free(escaped);
}

static void make_url(struct watch *w, struct tl_text *url)
{
	tl_text_printf(url, "%s%s?", w->kube->server, paths[w->kind]);
	if (w->state == STATE_WATCHING) {
		tl_text_printf(url, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u", WATCH_S);
		add_parameter(w->curl, url, "resourceVersion", w->version);
	} else {
		tl_text_printf(url, "limit=%u", w->page);
		if (w->next != NULL)
			add_parameter(w->curl, url, "continue", w->next);
	}
	if (w->kind == TL_KUBE_PODS && w->kube->node[0] != '\0') {
		struct tl_text selector = {0};
		tl_text_printf(&selector, "spec.nodeName=%s", w->kube->node);
		add_parameter(w->curl, url, "fieldSelector", selector.data);
		tl_text_free(&selector);
	}
}

static void ask(struct watch *w)
{
	struct tl_text url = {0};

	w->state = w->version[0] != '\0' ? STATE_WATCHING : STATE_LISTING;
	if (w->state == STATE_LISTING && w->next == NULL)
		tl_kube_table_begin_list(w->kube->table, w->kind);
	w->ending = ENDING_NONE;
	w->is_too_large = w->has_events = false;
	w->detail[0] = '\0';
	w->asked_ns = clock_ns(CLOCK_MONOTONIC);
	make_url(w, &url);
	curl_slist_free_all(w->headers);
	w->headers = bearer(w->kube->token_file);
	(void)curl_easy_setopt(w->curl, CURLOPT_URL, url.data);
	(void)curl_easy_setopt(w->curl, CURLOPT_HTTPHEADER, w->headers);
	(void)curl_easy_setopt(w->curl, CURLOPT_TIMEOUT_MS,
			       w->state == STATE_LISTING ? LIST_MS : WATCH_S * 1000L + WATCH_GRACE_MS);
	tl_text_free(&url);
	(void)curl_multi_add_handle(w->kube->multi, w->curl);
}

// Asks what is due. Milliseconds until something else is.
static int ask_due(struct tl_kube *kube)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	uint64_t wait_ms = WAIT_MS_MAX;

	for (uint32_t i = 0; i < TL_KUBE_KINDS; i++) {
		struct watch *w = &kube->watches[i];
		if (w->state != STATE_WAITING)
			continue;
		if (w->due_ns <= now)
			ask(w);
		else if ((w->due_ns - now) / 1000000 < wait_ms)
			wait_ms = (w->due_ns - now) / 1000000 + 1;
	}
	return (int)wait_ms;
}

static void *run(void *arg)
{
	struct tl_kube *kube = arg;
	uint64_t swept_ns = 0;

	while (!atomic_load(&kube->is_stopping)) {
		int wait_ms = ask_due(kube), running, left;
		CURLMsg *message;
		(void)curl_multi_perform(kube->multi, &running);
		bool has_ended = false;
		while ((message = curl_multi_info_read(kube->multi, &left)) != NULL) {
			struct watch *w;
			if (message->msg != CURLMSG_DONE)
				continue;
			CURLcode code = message->data.result;
			(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &w);
			end_request(w, code);
			has_ended = true;
		}
		uint64_t now = clock_ns(CLOCK_MONOTONIC);
		if (now >= swept_ns + SWEEP_NS) {
			tl_kube_table_sweep(kube->table, now);
			swept_ns = now;
		}
		if (!has_ended)
			(void)curl_multi_poll(kube->multi, NULL, 0, wait_ms, NULL);
	}
	return NULL;
}

// ---- Life ----------------------------------------------------------------------------------------

static void set_fixed(struct watch *w)
{
	const struct tl_kube *kube = w->kube;

	(void)curl_easy_setopt(w->curl, CURLOPT_PRIVATE, w);
	(void)curl_easy_setopt(w->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(w->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(w->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(w->curl, CURLOPT_QUICK_EXIT, 1L); // the end must not wait for a resolver
	(void)curl_easy_setopt(w->curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(w->curl, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(w->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	(void)curl_easy_setopt(w->curl, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(w->curl, CURLOPT_ERRORBUFFER, w->detail);
	(void)curl_easy_setopt(w->curl, CURLOPT_WRITEFUNCTION, take_bytes);
	(void)curl_easy_setopt(w->curl, CURLOPT_WRITEDATA, w);
	if (kube->authority[0] != '\0') {
		(void)curl_easy_setopt(w->curl, CURLOPT_CAINFO, kube->authority);
		(void)curl_easy_setopt(w->curl, CURLOPT_CAPATH, NULL); // the system's are none
	}
	if (kube->certificate[0] != '\0')
		(void)curl_easy_setopt(w->curl, CURLOPT_SSLCERT, kube->certificate);
	if (kube->key[0] != '\0')
		(void)curl_easy_setopt(w->curl, CURLOPT_SSLKEY, kube->key);
}

// The configured address of the API server, else the one that every pod finds in its environment.
// NULL with a line in `error`.
static char *server_of(const struct tl_kubernetes_config *config, char *error, uint32_t error_size)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	struct tl_text url = {0};

	if (config->server[0] != '\0') {
		size_t len = strlen(config->server);
		tl_text_add(&url, config->server, len - (config->server[len - 1] == '/'));
	} else if (host != NULL && host[0] != '\0') {
		tl_text_printf(&url, strchr(host, ':') != NULL ? "https://[%s]:%s" : "https://%s:%s",
			       host, port != NULL && port[0] != '\0' ? port : "443");
	} else {
		(void)snprintf(error, error_size, "kubernetes: this is no pod (no KUBERNETES_SERVICE_HOST);"
			       " kubernetes.server must name the API server");
		return NULL;
	}
	return url.data;
}

static int open_watches(struct tl_kube *kube)
{
	kube->multi = curl_multi_init();
	if (kube->multi == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < TL_KUBE_KINDS; i++) {
		struct watch *w = &kube->watches[i];
		w->kube = kube;
		w->kind = (enum tl_kube_kind)i;
		w->page = PAGE_OBJECTS;
		w->curl = curl_easy_init();
		if (w->curl == NULL)
			return -ENOMEM;
		set_fixed(w);
		kube->stats.of[i].resource = resources[i];
	}
	return 0;
}

int tl_kube_start(const struct tl_kubernetes_config *config, struct tl_kube **ret_kube, char *error,
		  uint32_t error_size)
{
	char *server = server_of(config, error, error_size);
	if (server == NULL)
		return -EINVAL;
	struct tl_kube *kube = calloc(1, sizeof(*kube));
	if (kube == NULL) {
		free(server);
		return -ENOMEM;
	}
	(void)pthread_mutex_init(&kube->lock, NULL);
	kube->random = (unsigned)clock_ns(CLOCK_REALTIME);
	kube->server = server;
	kube->token_file = strdup(config->token_file);
	kube->authority = strdup(config->authority);
	kube->certificate = strdup(config->certificate);
	kube->key = strdup(config->key);
	kube->node = strdup(config->node);
	kube->table = tl_kube_table_create(config->objects_max);
	int rc = -ENOMEM;
	if (kube->token_file != NULL && kube->authority != NULL && kube->certificate != NULL &&
	    kube->key != NULL && kube->node != NULL && kube->table != NULL)
		rc = open_watches(kube);
	if (rc == 0)
		rc = -pthread_create(&kube->thread, NULL, run, kube);
	kube->has_thread = rc == 0;
	if (rc < 0) {
		(void)snprintf(error, error_size, "kubernetes: %s", strerror(-rc));
		tl_kube_stop(kube);
		return rc;
	}
	*ret_kube = kube;
	return 0;
}

void tl_kube_stop(struct tl_kube *kube)
{
	if (kube == NULL)
		return;
	atomic_store(&kube->is_stopping, true);
	if (kube->has_thread) {
		(void)curl_multi_wakeup(kube->multi);
		(void)pthread_join(kube->thread, NULL);
	}
	for (uint32_t i = 0; i < TL_KUBE_KINDS; i++) {
		struct watch *w = &kube->watches[i];
		if (w->curl != NULL && kube->multi != NULL && w->state != STATE_WAITING)
			(void)curl_multi_remove_handle(kube->multi, w->curl);
		curl_easy_cleanup(w->curl);
		curl_slist_free_all(w->headers);
		free(w->next);
		tl_text_free(&w->body);
	}
	(void)curl_multi_cleanup(kube->multi);
	tl_kube_table_destroy(kube->table);
	(void)pthread_mutex_destroy(&kube->lock);
	free(kube->server);
	free(kube->token_file);
	free(kube->authority);
	free(kube->certificate);
	free(kube->key);
	free(kube->node);
	free(kube);
}

bool tl_kube_find(struct tl_kube *kube, const uint8_t address[16], uint16_t port,
		  struct tl_kube_place *ret_place)
{
	return tl_kube_table_find(kube->table, address, port, ret_place);
}

bool tl_kube_has_changed(struct tl_kube *kube)
{
	return tl_kube_table_has_changed(kube->table);
}

void tl_kube_stats(struct tl_kube *kube, struct tl_kube_stats *ret_stats)
{
	uint64_t objects[TL_KUBE_KINDS], refused;

	tl_kube_table_count(kube->table, objects, &refused);
	(void)pthread_mutex_lock(&kube->lock);
	*ret_stats = kube->stats;
	(void)pthread_mutex_unlock(&kube->lock);
	for (uint32_t i = 0; i < TL_KUBE_KINDS; i++)
		ret_stats->of[i].objects = objects[i];
	ret_stats->refused = refused;
}
