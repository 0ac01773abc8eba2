// SPDX-License-Identifier: Apache-2.0
// Pods and services of the Kubernetes API: of what workload they are, where they are, and for how long
// that is known.
#include "base/check.h"
#include "control/kube_internal.h"
#include "tests/support/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define NOW (1000 * SECOND)

static void parse(enum tl_kube_kind kind, const char *text, json_t **ret_json,
		  struct tl_kube_object *ret_object)
{
	json_error_t error;

	*ret_json = json_loads(text, 0, &error);
	if (*ret_json == NULL)
		fail_msg("%s: %s", text, error.text);
	assert_true(tl_kube_object_read(kind, *ret_json, ret_object));
}

static void put(struct tl_kube_table *t, enum tl_kube_kind kind, const char *text, uint64_t now_ns)
{
	struct tl_kube_object object;
	json_t *json;

	parse(kind, text, &json, &object);
	tl_kube_table_put(t, kind, &object, now_ns);
	json_decref(json);
}

static void take_away(struct tl_kube_table *t, enum tl_kube_kind kind, const char *text,
		      uint64_t now_ns)
{
	struct tl_kube_object object;
	json_t *json;

	parse(kind, text, &json, &object);
	tl_kube_table_remove(t, kind, &object, now_ns);
	json_decref(json);
}

// "namespace/kind/name/pod/node" of what is at the address, "" for nothing.
static const char *at(struct tl_kube_table *t, const char *address, uint16_t port)
{
	static char text[TL_KUBE_TEXTS_MAX + 8];
	struct tl_kube_place place;
	const struct tl_workload *w = &place.workload;

	text[0] = '\0';
	if (tl_kube_table_find(t, ip(address), port, &place))
		(void)snprintf(text, sizeof(text), "%s/%s/%s/%s/%s", w->ns, w->kind, w->name, w->pod,
			       w->node);
	return text;
}

#define POD(name, address) \
	"{\"metadata\": {\"namespace\": \"shop\", \"name\": \"" name "\"}, " \
	"\"spec\": {\"nodeName\": \"n1\"}, \"status\": {\"podIP\": \"" address "\"}}"

// ---- objects ---------------------------------------------------------------------------------

static void a_pod_tells_its_workload(void **state)
{
	(void)state;
	// What owns the pod (kind, name, the label pod-template-hash), and what it is taken for.
	static const char *const rows[][5] = {
		{"ReplicaSet", "web-7f9c8b6d5f", "7f9c8b6d5f", "Deployment", "web"},
		{"ReplicaSet", "web-7f9c8b6d5f", "5f", "ReplicaSet", "web-7f9c8b6d5f"},
		{"ReplicaSet", "web", "", "ReplicaSet", "web"},
		{"ReplicaSet", "-abc", "abc", "ReplicaSet", "-abc"},
		{"StatefulSet", "db", "", "StatefulSet", "db"},
		{"DaemonSet", "proxy", "abc", "DaemonSet", "proxy"},
		{"Job", "backup-29012345", "", "CronJob", "backup"},
		{"Job", "backup-1700000000", "", "CronJob", "backup"},
		{"Job", "backup-1", "", "Job", "backup-1"},
		{"Job", "backup-2901234x", "", "Job", "backup-2901234x"},
		{"Node", "n1", "", "Pod", "etcd"},
		{"Workflow", "w", "", "Workflow", "w"},
	};
	struct tl_kube_object object;
	char text[512];
	json_t *json;

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		(void)snprintf(text, sizeof(text),
			       "{\"metadata\": {\"namespace\": \"shop\", \"name\": \"etcd-n1\", "
			       "\"labels\": {\"pod-template-hash\": \"%s\"}, \"ownerReferences\": ["
			       "{\"kind\": \"Other\", \"name\": \"not-this\"}, "
			       "{\"kind\": \"%s\", \"name\": \"%s\", \"controller\": true}]}, "
			       "\"spec\": {\"nodeName\": \"n1\"}}",
			       rows[i][2], rows[i][0], rows[i][1]);
		parse(TL_KUBE_PODS, text, &json, &object);
		assert_string_equal(object.workload.kind, rows[i][3]);
		assert_string_equal(object.workload.name, rows[i][4]);
		assert_string_equal(object.workload.ns, "shop");
		assert_string_equal(object.workload.pod, "etcd-n1");
		assert_string_equal(object.workload.node, "n1");
		assert_int_equal(object.address_count, 0);
		json_decref(json);
	}
	parse(TL_KUBE_PODS, POD("alone", "10.0.0.1"), &json, &object);
	assert_string_equal(object.workload.kind, "Pod");
	assert_string_equal(object.workload.name, "alone");
	json_decref(json);
}

static void what_is_no_object_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {"{}", "[]", "{\"metadata\": {\"name\": 7}}",
					   "{\"metadata\": {\"namespace\": \"shop\"}}"};
	struct tl_kube_object object;
	char text[400];

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		json_t *json = json_loads(rows[i], 0, NULL);
		assert_false(tl_kube_object_read(TL_KUBE_PODS, json, &object));
		assert_false(tl_kube_object_read(TL_KUBE_SERVICES, json, &object));
		json_decref(json);
	}
	for (int len = 253; len <= 254; len++) {
		(void)snprintf(text, sizeof(text), "{\"metadata\": {\"name\": \"%0*d\"}}", len, 1);
		json_t *json = json_loads(text, 0, NULL);
		assert_int_equal(tl_kube_object_read(TL_KUBE_PODS, json, &object), len == 253);
		json_decref(json);
	}
}

// ---- addresses -------------------------------------------------------------------------------

static void every_address_is_found(void **state)
{
	(void)state;
	struct tl_kube_table *t = tl_kube_table_create(100);

	put(t, TL_KUBE_PODS, "{\"metadata\": {\"namespace\": \"shop\", \"name\": \"two\"}, \"status\": "
	    "{\"podIPs\": [{\"ip\": \"10.0.0.1\"}, {\"ip\": \"fd00::1\"}], \"podIP\": \"10.0.0.9\"}}", NOW);
	put(t, TL_KUBE_PODS, "{\"metadata\": {\"namespace\": \"kube-system\", \"name\": \"host\"}, \"spec\": "
	    "{\"hostNetwork\": true, \"containers\": [{\"ports\": [{\"containerPort\": 9100}, "
	    "{\"containerPort\": 0}, {\"containerPort\": 99999}]}]}, \"status\": {\"podIP\": \"10.0.0.2\"}}",
	    NOW);
	put(t, TL_KUBE_SERVICES, "{\"metadata\": {\"namespace\": \"shop\", \"name\": \"cart\"}, \"spec\": "
	    "{\"clusterIP\": \"10.96.0.1\", \"clusterIPs\": [\"10.96.0.1\", \"fd00::96\"], "
	    "\"externalIPs\": [\"192.0.2.1\"], \"ports\": [{\"port\": 80}, {\"port\": 443}]}, \"status\": "
	    "{\"loadBalancer\": {\"ingress\": [{\"ip\": \"192.0.2.2\"}, {\"hostname\": \"x\"}]}}}", NOW);
	put(t, TL_KUBE_SERVICES, "{\"metadata\": {\"namespace\": \"shop\", \"name\": \"headless\"}, \"spec\": "
	    "{\"clusterIP\": \"None\", \"clusterIPs\": [\"None\"]}}", NOW);
	assert_string_equal(at(t, "10.0.0.1", 0), "shop/Pod/two/two/");
	assert_string_equal(at(t, "10.0.0.1", 80), "shop/Pod/two/two/");
	assert_string_equal(at(t, "fd00::1", 80), "shop/Pod/two/two/");
	assert_string_equal(at(t, "10.0.0.9", 80), "");
	assert_string_equal(at(t, "10.0.0.2", 9100), "kube-system/Pod/host/host/");
	assert_string_equal(at(t, "10.0.0.2", 0), "");
	assert_string_equal(at(t, "10.0.0.2", 22), "");
	assert_string_equal(at(t, "10.96.0.1", 8080), "shop/Service/cart//");
	assert_string_equal(at(t, "fd00::96", 80), "shop/Service/cart//");
	assert_string_equal(at(t, "192.0.2.1", 443), "shop/Service/cart//");
	assert_string_equal(at(t, "192.0.2.2", 80), "shop/Service/cart//");
	assert_string_equal(at(t, "192.0.2.2", 81), "");
	tl_kube_table_destroy(t);
}

static void an_address_belongs_to_who_has_it_now(void **state)
{
	(void)state;
	struct tl_kube_table *t = tl_kube_table_create(100);

	put(t, TL_KUBE_PODS, POD("a", "10.0.0.1"), NOW);
	assert_true(tl_kube_table_has_changed(t));
	put(t, TL_KUBE_PODS, POD("a", "10.0.0.1"), NOW); // as it was
	assert_false(tl_kube_table_has_changed(t));
	// Removed: known for a while, for what still ends; then not any more.
	take_away(t, TL_KUBE_PODS, POD("a", "10.0.0.1"), NOW);
	tl_kube_table_sweep(t, NOW + TL_KUBE_GONE_NS - 1);
	assert_string_equal(at(t, "10.0.0.1", 0), "shop/Pod/a/a/n1");
	put(t, TL_KUBE_PODS, POD("b", "10.0.0.1"), NOW);
	assert_string_equal(at(t, "10.0.0.1", 0), "shop/Pod/b/b/n1");
	take_away(t, TL_KUBE_PODS, POD("b", "10.0.0.1"), NOW + SECOND);
	tl_kube_table_sweep(t, NOW + SECOND + TL_KUBE_GONE_NS);
	assert_string_equal(at(t, "10.0.0.1", 0), "");
	// Finished, as a job's pod is: its address may be another's, whichever is told first.
	put(t, TL_KUBE_PODS, POD("c", "10.0.0.2"), NOW);
	put(t, TL_KUBE_PODS, POD("d", "10.0.0.2"), NOW);
	for (int i = 0; i < 2; i++)
		put(t, TL_KUBE_PODS, "{\"metadata\": {\"namespace\": \"shop\", \"name\": \"d\"}, \"status\": "
		    "{\"phase\": \"Succeeded\", \"podIP\": \"10.0.0.2\"}}", NOW);
	assert_string_equal(at(t, "10.0.0.2", 0), "shop/Pod/c/c/n1");
	// Another address: the old one is free at once.
	put(t, TL_KUBE_PODS, POD("c", "10.0.0.3"), NOW);
	assert_string_equal(at(t, "10.0.0.3", 0), "shop/Pod/c/c/n1");
	tl_kube_table_destroy(t);
}

static void a_list_tells_what_is_gone(void **state)
{
	(void)state;
	struct tl_kube_table *t = tl_kube_table_create(100);
	uint64_t objects[TL_KUBE_KINDS], refused;

	tl_kube_table_begin_list(t, TL_KUBE_PODS);
	put(t, TL_KUBE_PODS, POD("a", "10.0.0.1"), NOW);
	put(t, TL_KUBE_PODS, POD("b", "10.0.0.2"), NOW);
	put(t, TL_KUBE_SERVICES, POD("a", "10.0.0.3"), NOW); // the same name, another kind
	tl_kube_table_end_list(t, TL_KUBE_PODS, NOW);
	tl_kube_table_begin_list(t, TL_KUBE_PODS);
	put(t, TL_KUBE_PODS, POD("b", "10.0.0.2"), NOW);
	tl_kube_table_end_list(t, TL_KUBE_PODS, NOW);
	tl_kube_table_count(t, objects, &refused);
	assert_int_equal(objects[TL_KUBE_PODS], 1);
	assert_int_equal(objects[TL_KUBE_SERVICES], 1);
	tl_kube_table_sweep(t, NOW + TL_KUBE_GONE_NS);
	assert_string_equal(at(t, "10.0.0.1", 0), "");
	assert_string_equal(at(t, "10.0.0.2", 0), "shop/Pod/b/b/n1");
	tl_kube_table_destroy(t);
}

static void there_is_a_bound(void **state)
{
	(void)state;
	struct tl_kube_table *t = tl_kube_table_create(100);
	uint64_t objects[TL_KUBE_KINDS], refused;
	char text[300];

	for (uint32_t i = 0; i < 300; i++) {
		(void)snprintf(text, sizeof(text),
			       "{\"metadata\": {\"namespace\": \"shop\", \"name\": \"p%u\"}, \"status\": "
			       "{\"podIP\": \"10.0.%u.%u\"}}", i, i / 250, i % 250);
		put(t, TL_KUBE_PODS, text, NOW);
	}
	tl_kube_table_count(t, objects, &refused);
	assert_int_equal(objects[TL_KUBE_PODS], 100);
	assert_int_equal(refused, 200);
	assert_string_equal(at(t, "10.0.1.0", 0), "");
	// What is gone makes room before its time.
	take_away(t, TL_KUBE_PODS, POD("p0", "10.0.0.0"), NOW);
	put(t, TL_KUBE_PODS, POD("new", "10.0.1.0"), NOW);
	assert_string_equal(at(t, "10.0.1.0", 0), "shop/Pod/new/new/n1");
	assert_string_equal(at(t, "10.0.0.0", 0), "");
	tl_kube_table_destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_tells_its_workload),
		cmocka_unit_test(what_is_no_object_is_refused),
		cmocka_unit_test(every_address_is_found),
		cmocka_unit_test(an_address_belongs_to_who_has_it_now),
		cmocka_unit_test(a_list_tells_what_is_gone),
		cmocka_unit_test(there_is_a_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
