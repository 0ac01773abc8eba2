// SPDX-License-Identifier: Apache-2.0
// The kubelet's pod list (GET /pods: a v1 PodList of the Kubernetes API), which knows what the
// cgroup trees don't: names, namespaces, labels and what kind of pod a container belongs to.
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_parts.h"
#include "base/text.h"
#include "collectors/container/internal.h"

#define FETCH_MS_MAX 2000L
#define LIST_BYTES_MAX (16u << 20)
#define LIST_PARTS_MAX (1u << 20) // values in it; a node has some hundred pods

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text == NULL ? "" : text;
}

#define SET(to, text) ((void)snprintf(to, sizeof(to), "%.*s", (int)sizeof(to) - 1, text))

static const char *type_of(const json_t *metadata, const char *container_name)
{
	const json_t *owner;
	size_t index;
	const char *source = text_of(json_object_get(metadata, "annotations"),
				     "kubernetes.io/config.source");

	if (strcmp(container_name, "istio-proxy") == 0)
		return "sidecar";
	if (source[0] != '\0' && strcmp(source, "api") != 0)
		return "static";
	json_array_foreach(json_object_get(metadata, "ownerReferences"), index, owner) {
		if (strcmp(text_of(owner, "kind"), "DaemonSet") == 0)
			return "daemonset";
		if (strcmp(text_of(owner, "kind"), "Node") == 0)
			return "static";
	}
	return "normal";
}

static void set_labels(struct tl_container *container, json_t *labels)
{
	const char *name;
	json_t *value;

	json_object_foreach(labels, name, value) {
		if (container->label_count == TL_CONTAINER_LABELS_MAX)
			return;
		if (!json_is_string(value))
			continue;
		struct tl_container_label *label = &container->labels[container->label_count++];
		SET(label->name, name);
		SET(label->value, json_string_value(value));
	}
}

static void set_qos(struct tl_container *container, const char *qos_class)
{
	static const char *const names[] = {"Guaranteed", "Burstable", "BestEffort"};
	static const char *const words[] = {"guaranteed", "burstable", "besteffort"};

	SET(container->qos, "unknown");
	for (uint32_t i = 0; i < 3; i++)
		if (strcmp(qos_class, names[i]) == 0)
			SET(container->qos, words[i]);
}

// One container of a pod: "containerd://ID" in its status.
static void take_container(struct tl_kubelet_list *list, const json_t *pod, const json_t *status)
{
	json_t *metadata = json_object_get(pod, "metadata");
	const char *url = text_of(status, "containerID");
	const char *id = strstr(url, "://");

	struct tl_container *items = id == NULL ? NULL : tl_containers_grow(list->items, list->count);
	if (items == NULL)
		return;
	list->items = items;
	struct tl_container *container = &list->items[list->count++];
	*container = (struct tl_container) {0};
	SET(container->id, id + 3);
	SET(container->name, text_of(status, "name"));
	SET(container->pod, text_of(metadata, "name"));
	SET(container->ns, text_of(metadata, "namespace"));
	const char *hostname = text_of(json_object_get(pod, "spec"), "hostname");
	SET(container->hostname, hostname[0] != '\0' ? hostname : container->pod);
	SET(container->type, type_of(metadata, container->name));
	set_qos(container, text_of(json_object_get(pod, "status"), "qosClass"));
	set_labels(container, json_object_get(metadata, "labels"));
}

int tl_kubelet_parse(const char *json, size_t len, struct tl_kubelet_list *ret_list)
{
	static const char *const kinds[] = {"initContainerStatuses", "containerStatuses"};
	json_t *pod, *status;
	size_t p, s;

	*ret_list = (struct tl_kubelet_list) {0};
	if (!tl_json_is_within(json, len, LIST_PARTS_MAX))
		return -EMSGSIZE;
	json_t *root = json_loadb(json, len, 0, NULL);
	json_t *items = json_object_get(root, "items");
	if (!json_is_array(items) && strcmp(text_of(root, "kind"), "PodList") != 0) {
		json_decref(root);
		return -EINVAL;
	}
	json_array_foreach(items, p, pod)
		for (uint32_t k = 0; k < 2; k++)
			json_array_foreach(json_object_get(json_object_get(pod, "status"), kinds[k]),
					   s, status)
				take_container(ret_list, pod, status);
	json_decref(root);
	return 0;
}

// ---- Asking --------------------------------------------------------------------------------------

static size_t take_bytes(char *data, size_t size, size_t count, void *arg)
{
	struct tl_text *body = arg;

	if (body->len + size * count > LIST_BYTES_MAX)
		return 0;
	tl_text_add(body, data, size * count);
	return size * count;
}

static struct curl_slist *bearer(const char *token_file)
{
	char token[4096] = "", header[4200];
	FILE *file = token_file[0] == '\0' ? NULL : fopen(token_file, "re");

	if (file == NULL)
		return NULL;
	size_t len = fread(token, 1, sizeof(token) - 1, file);
	(void)fclose(file);
	token[len] = '\0';
	token[strcspn(token, "\r\n")] = '\0';
	(void)snprintf(header, sizeof(header), "Authorization: Bearer %s", token);
	return curl_slist_append(NULL, header);
}

static void set_tls(CURL *curl, const struct tl_containers_options *options)
{
	if (options->certificate[0] != '\0')
		(void)curl_easy_setopt(curl, CURLOPT_SSLCERT, options->certificate);
	if (options->key[0] != '\0')
		(void)curl_easy_setopt(curl, CURLOPT_SSLKEY, options->key);
	if (options->authority[0] != '\0') {
		(void)curl_easy_setopt(curl, CURLOPT_CAINFO, options->authority);
		(void)curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); // the system's are none
	}
	// A kubelet's certificate is commonly its own and for its host name, not for 127.0.0.1.
	(void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, (long)(options->authority[0] != '\0'));
	(void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
}

int tl_kubelet_fetch(const struct tl_containers_options *options, struct tl_kubelet_list *ret_list,
		     char *error, uint32_t error_size)
{
	CURL *curl = curl_easy_init();
	struct tl_text body = {0};
	char detail[CURL_ERROR_SIZE] = "";
	long status = 0;

	if (curl == NULL)
		return -ENOMEM;
	struct curl_slist *headers = bearer(options->token_file);
	(void)curl_easy_setopt(curl, CURLOPT_URL, options->kubelet);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, FETCH_MS_MAX);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	set_tls(curl, options);
	CURLcode code = curl_easy_perform(curl);
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	int rc = code == CURLE_COULDNT_CONNECT ? -ECONNREFUSED : code != CURLE_OK ? -EIO :
		status != 200 ? -EACCES : tl_kubelet_parse(body.data == NULL ? "" : body.data,
							  body.len, ret_list);
	if (code != CURLE_OK)
		(void)snprintf(error, error_size, "%s: %s", options->kubelet,
			       detail[0] != '\0' ? detail : curl_easy_strerror(code));
	else if (status != 200)
		(void)snprintf(error, error_size, "%s: HTTP status %ld", options->kubelet, status);
	else if (rc < 0)
		(void)snprintf(error, error_size, "%s: the answer is %s", options->kubelet,
			       rc == -EMSGSIZE ? "too large" : "no pod list");
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	tl_text_free(&body);
	return rc;
}
