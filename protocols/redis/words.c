// SPDX-License-Identifier: Apache-2.0
#include "words.h"

#include "base/check.h"

#define NAME_WORDS 3u // of eight bytes, in which names are compared

// In the order of their bytes.
static const struct redis_command commands[] = {
	{.name = "ACL", .role = REDIS_ROLE_CONTAINER},
	{.name = "APPEND", .first = 1, .last = 1, .step = 1},
	{.name = "ASKING"},
	{.name = "AUTH"},
	{.name = "BGREWRITEAOF"},
	{.name = "BGSAVE"},
	{.name = "BITCOUNT", .first = 1, .last = 1, .step = 1},
	{.name = "BITFIELD", .first = 1, .last = 1, .step = 1},
	{.name = "BITFIELD_RO", .first = 1, .last = 1, .step = 1},
	{.name = "BITOP", .first = 2, .last = -1, .step = 1},
	{.name = "BITPOS", .first = 1, .last = 1, .step = 1},
	{.name = "BLMOVE", .first = 1, .last = 2, .step = 1, .wait = REDIS_WAIT_LAST},
	{.name = "BLMPOP", .count_at = 2, .wait = REDIS_WAIT_FIRST},
	{.name = "BLPOP", .first = 1, .last = -2, .step = 1, .wait = REDIS_WAIT_LAST},
	{.name = "BRPOP", .first = 1, .last = -2, .step = 1, .wait = REDIS_WAIT_LAST},
	{.name = "BRPOPLPUSH", .first = 1, .last = 2, .step = 1, .wait = REDIS_WAIT_LAST},
	{.name = "BZMPOP", .count_at = 2, .wait = REDIS_WAIT_FIRST},
	{.name = "BZPOPMAX", .first = 1, .last = -2, .step = 1, .wait = REDIS_WAIT_LAST},
	{.name = "BZPOPMIN", .first = 1, .last = -2, .step = 1, .wait = REDIS_WAIT_LAST},
	{.name = "CLIENT", .role = REDIS_ROLE_CONTAINER},
	{.name = "CLUSTER", .role = REDIS_ROLE_CONTAINER},
	{.name = "COMMAND", .role = REDIS_ROLE_CONTAINER},
	{.name = "COMMANDLOG", .role = REDIS_ROLE_CONTAINER},
	{.name = "CONFIG", .role = REDIS_ROLE_CONTAINER},
	{.name = "COPY", .first = 1, .last = 2, .step = 1},
	{.name = "DBSIZE"},
	{.name = "DEBUG", .role = REDIS_ROLE_CONTAINER},
	{.name = "DECR", .first = 1, .last = 1, .step = 1},
	{.name = "DECRBY", .first = 1, .last = 1, .step = 1},
	{.name = "DEL", .first = 1, .last = -1, .step = 1},
	{.name = "DELEX", .first = 1, .last = 1, .step = 1},
	{.name = "DELIFEQ", .first = 1, .last = 1, .step = 1},
	{.name = "DIGEST", .first = 1, .last = 1, .step = 1},
	{.name = "DISCARD", .role = REDIS_ROLE_DISCARD},
	{.name = "DUMP", .first = 1, .last = 1, .step = 1},
	{.name = "ECHO"},
	{.name = "EVAL", .count_at = 2},
	{.name = "EVALSHA", .count_at = 2},
	{.name = "EVALSHA_RO", .count_at = 2},
	{.name = "EVAL_RO", .count_at = 2},
	{.name = "EXEC", .role = REDIS_ROLE_EXEC},
	{.name = "EXISTS", .first = 1, .last = -1, .step = 1},
	{.name = "EXPIRE", .first = 1, .last = 1, .step = 1},
	{.name = "EXPIREAT", .first = 1, .last = 1, .step = 1},
	{.name = "EXPIREMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "EXPIREMEMBERAT", .first = 1, .last = 1, .step = 1},
	{.name = "EXPIRETIME", .first = 1, .last = 1, .step = 1},
	{.name = "FAILOVER"},
	{.name = "FCALL", .count_at = 2},
	{.name = "FCALL_RO", .count_at = 2},
	{.name = "FLUSHALL"},
	{.name = "FLUSHDB"},
	{.name = "FUNCTION", .role = REDIS_ROLE_CONTAINER},
	{.name = "GEOADD", .first = 1, .last = 1, .step = 1},
	{.name = "GEODIST", .first = 1, .last = 1, .step = 1},
	{.name = "GEOHASH", .first = 1, .last = 1, .step = 1},
	{.name = "GEOPOS", .first = 1, .last = 1, .step = 1},
	{.name = "GEORADIUS", .first = 1, .last = 1, .step = 1},
	{.name = "GEORADIUSBYMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "GEORADIUSBYMEMBER_RO", .first = 1, .last = 1, .step = 1},
	{.name = "GEORADIUS_RO", .first = 1, .last = 1, .step = 1},
	{.name = "GEOSEARCH", .first = 1, .last = 1, .step = 1},
	{.name = "GEOSEARCHSTORE", .first = 1, .last = 2, .step = 1},
	{.name = "GET", .first = 1, .last = 1, .step = 1},
	{.name = "GETBIT", .first = 1, .last = 1, .step = 1},
	{.name = "GETDEL", .first = 1, .last = 1, .step = 1},
	{.name = "GETEX", .first = 1, .last = 1, .step = 1},
	{.name = "GETRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "GETSET", .first = 1, .last = 1, .step = 1},
	{.name = "HDEL", .first = 1, .last = 1, .step = 1},
	{.name = "HELLO"},
	{.name = "HEXISTS", .first = 1, .last = 1, .step = 1},
	{.name = "HEXPIRE", .first = 1, .last = 1, .step = 1},
	{.name = "HEXPIREAT", .first = 1, .last = 1, .step = 1},
	{.name = "HEXPIRETIME", .first = 1, .last = 1, .step = 1},
	{.name = "HGET", .first = 1, .last = 1, .step = 1},
	{.name = "HGETALL", .first = 1, .last = 1, .step = 1},
	{.name = "HGETDEL", .first = 1, .last = 1, .step = 1},
	{.name = "HGETEX", .first = 1, .last = 1, .step = 1},
	{.name = "HINCRBY", .first = 1, .last = 1, .step = 1},
	{.name = "HINCRBYFLOAT", .first = 1, .last = 1, .step = 1},
	{.name = "HKEYS", .first = 1, .last = 1, .step = 1},
	{.name = "HLEN", .first = 1, .last = 1, .step = 1},
	{.name = "HMGET", .first = 1, .last = 1, .step = 1},
	{.name = "HMSET", .first = 1, .last = 1, .step = 1},
	{.name = "HOTKEYS", .role = REDIS_ROLE_CONTAINER},
	{.name = "HPERSIST", .first = 1, .last = 1, .step = 1},
	{.name = "HPEXPIRE", .first = 1, .last = 1, .step = 1},
	{.name = "HPEXPIREAT", .first = 1, .last = 1, .step = 1},
	{.name = "HPEXPIRETIME", .first = 1, .last = 1, .step = 1},
	{.name = "HPTTL", .first = 1, .last = 1, .step = 1},
	{.name = "HRANDFIELD", .first = 1, .last = 1, .step = 1},
	{.name = "HSCAN", .first = 1, .last = 1, .step = 1},
	{.name = "HSET", .first = 1, .last = 1, .step = 1},
	{.name = "HSETEX", .first = 1, .last = 1, .step = 1},
	{.name = "HSETNX", .first = 1, .last = 1, .step = 1},
	{.name = "HSTRLEN", .first = 1, .last = 1, .step = 1},
	{.name = "HTTL", .first = 1, .last = 1, .step = 1},
	{.name = "HVALS", .first = 1, .last = 1, .step = 1},
	{.name = "INCR", .first = 1, .last = 1, .step = 1},
	{.name = "INCRBY", .first = 1, .last = 1, .step = 1},
	{.name = "INCRBYFLOAT", .first = 1, .last = 1, .step = 1},
	{.name = "INCREX", .first = 1, .last = 1, .step = 1},
	{.name = "INFO"},
	{.name = "KEYS"},
	{.name = "LASTSAVE"},
	{.name = "LATENCY", .role = REDIS_ROLE_CONTAINER},
	{.name = "LCS", .first = 1, .last = 2, .step = 1},
	{.name = "LINDEX", .first = 1, .last = 1, .step = 1},
	{.name = "LINSERT", .first = 1, .last = 1, .step = 1},
	{.name = "LLEN", .first = 1, .last = 1, .step = 1},
	{.name = "LMOVE", .first = 1, .last = 2, .step = 1},
	{.name = "LMPOP", .count_at = 1},
	{.name = "LOLWUT"},
	{.name = "LPOP", .first = 1, .last = 1, .step = 1},
	{.name = "LPOS", .first = 1, .last = 1, .step = 1},
	{.name = "LPUSH", .first = 1, .last = 1, .step = 1},
	{.name = "LPUSHX", .first = 1, .last = 1, .step = 1},
	{.name = "LRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "LREM", .first = 1, .last = 1, .step = 1},
	{.name = "LSET", .first = 1, .last = 1, .step = 1},
	{.name = "LTRIM", .first = 1, .last = 1, .step = 1},
	{.name = "MEMORY", .first = 2, .last = 2, .step = 1, .role = REDIS_ROLE_CONTAINER},
	{.name = "MGET", .first = 1, .last = -1, .step = 1},
	{.name = "MIGRATE", .first = 3, .last = 3, .step = 1},
	{.name = "MODULE", .role = REDIS_ROLE_CONTAINER},
	{.name = "MONITOR", .role = REDIS_ROLE_MONITOR},
	{.name = "MOVE", .first = 1, .last = 1, .step = 1},
	{.name = "MSET", .first = 1, .last = -1, .step = 2},
	{.name = "MSETEX", .count_at = 1},
	{.name = "MSETNX", .first = 1, .last = -1, .step = 2},
	{.name = "MULTI", .role = REDIS_ROLE_MULTI},
	{.name = "OBJECT", .first = 2, .last = 2, .step = 1, .role = REDIS_ROLE_CONTAINER},
	{.name = "PERSIST", .first = 1, .last = 1, .step = 1},
	{.name = "PEXPIRE", .first = 1, .last = 1, .step = 1},
	{.name = "PEXPIREAT", .first = 1, .last = 1, .step = 1},
	{.name = "PEXPIREMEMBERAT", .first = 1, .last = 1, .step = 1},
	{.name = "PEXPIRETIME", .first = 1, .last = 1, .step = 1},
	{.name = "PFADD", .first = 1, .last = 1, .step = 1},
	{.name = "PFCOUNT", .first = 1, .last = -1, .step = 1},
	{.name = "PFDEBUG", .first = 2, .last = 2, .step = 1},
	{.name = "PFMERGE", .first = 1, .last = -1, .step = 1},
	{.name = "PFSELFTEST"},
	{.name = "PING"},
	{.name = "PSETEX", .first = 1, .last = 1, .step = 1},
	{.name = "PSUBSCRIBE", .role = REDIS_ROLE_PSUBSCRIBE},
	{.name = "PSYNC", .role = REDIS_ROLE_PSYNC},
	{.name = "PTTL", .first = 1, .last = 1, .step = 1},
	{.name = "PUBLISH"},
	{.name = "PUBSUB", .role = REDIS_ROLE_CONTAINER},
	{.name = "PUNSUBSCRIBE", .role = REDIS_ROLE_PUNSUBSCRIBE},
	{.name = "QUIT"},
	{.name = "RANDOMKEY"},
	{.name = "READONLY"},
	{.name = "READWRITE"},
	{.name = "RENAME", .first = 1, .last = 2, .step = 1},
	{.name = "RENAMENX", .first = 1, .last = 2, .step = 1},
	{.name = "REPLCONF", .role = REDIS_ROLE_REPLCONF},
	{.name = "REPLICAOF"},
	{.name = "RESET", .role = REDIS_ROLE_RESET},
	{.name = "RESTORE", .first = 1, .last = 1, .step = 1},
	{.name = "RESTORE-ASKING", .first = 1, .last = 1, .step = 1},
	{.name = "ROLE"},
	{.name = "RPOP", .first = 1, .last = 1, .step = 1},
	{.name = "RPOPLPUSH", .first = 1, .last = 2, .step = 1},
	{.name = "RPUSH", .first = 1, .last = 1, .step = 1},
	{.name = "RPUSHX", .first = 1, .last = 1, .step = 1},
	{.name = "SADD", .first = 1, .last = 1, .step = 1},
	{.name = "SAVE"},
	{.name = "SCAN"},
	{.name = "SCARD", .first = 1, .last = 1, .step = 1},
	{.name = "SCRIPT", .role = REDIS_ROLE_CONTAINER},
	{.name = "SDIFF", .first = 1, .last = -1, .step = 1},
	{.name = "SDIFFSTORE", .first = 1, .last = -1, .step = 1},
	{.name = "SELECT", .role = REDIS_ROLE_SELECT},
	{.name = "SENTINEL", .role = REDIS_ROLE_CONTAINER},
	{.name = "SET", .first = 1, .last = 1, .step = 1},
	{.name = "SETBIT", .first = 1, .last = 1, .step = 1},
	{.name = "SETEX", .first = 1, .last = 1, .step = 1},
	{.name = "SETNX", .first = 1, .last = 1, .step = 1},
	{.name = "SETRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "SHUTDOWN"},
	{.name = "SINTER", .first = 1, .last = -1, .step = 1},
	{.name = "SINTERCARD", .count_at = 1},
	{.name = "SINTERSTORE", .first = 1, .last = -1, .step = 1},
	{.name = "SISMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "SLAVEOF"},
	{.name = "SLOWLOG", .role = REDIS_ROLE_CONTAINER},
	{.name = "SMEMBERS", .first = 1, .last = 1, .step = 1},
	{.name = "SMISMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "SMOVE", .first = 1, .last = 2, .step = 1},
	{.name = "SORT", .first = 1, .last = 1, .step = 1},
	{.name = "SORT_RO", .first = 1, .last = 1, .step = 1},
	{.name = "SPOP", .first = 1, .last = 1, .step = 1},
	{.name = "SPUBLISH"},
	{.name = "SRANDMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "SREM", .first = 1, .last = 1, .step = 1},
	{.name = "SSCAN", .first = 1, .last = 1, .step = 1},
	{.name = "SSUBSCRIBE", .role = REDIS_ROLE_SSUBSCRIBE},
	{.name = "STRLEN", .first = 1, .last = 1, .step = 1},
	{.name = "SUBSCRIBE", .role = REDIS_ROLE_SUBSCRIBE},
	{.name = "SUBSTR", .first = 1, .last = 1, .step = 1},
	{.name = "SUNION", .first = 1, .last = -1, .step = 1},
	{.name = "SUNIONSTORE", .first = 1, .last = -1, .step = 1},
	{.name = "SUNSUBSCRIBE", .role = REDIS_ROLE_SUNSUBSCRIBE},
	{.name = "SWAPDB"},
	{.name = "SYNC", .role = REDIS_ROLE_SYNC},
	{.name = "TIME"},
	{.name = "TOUCH", .first = 1, .last = -1, .step = 1},
	{.name = "TTL", .first = 1, .last = 1, .step = 1},
	{.name = "TYPE", .first = 1, .last = 1, .step = 1},
	{.name = "UNLINK", .first = 1, .last = -1, .step = 1},
	{.name = "UNSUBSCRIBE", .role = REDIS_ROLE_UNSUBSCRIBE},
	{.name = "UNWATCH"},
	{.name = "VADD", .first = 1, .last = 1, .step = 1},
	{.name = "VCARD", .first = 1, .last = 1, .step = 1},
	{.name = "VDIM", .first = 1, .last = 1, .step = 1},
	{.name = "VEMB", .first = 1, .last = 1, .step = 1},
	{.name = "VGETATTR", .first = 1, .last = 1, .step = 1},
	{.name = "VINFO", .first = 1, .last = 1, .step = 1},
	{.name = "VISMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "VLINKS", .first = 1, .last = 1, .step = 1},
	{.name = "VRANDMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "VRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "VREM", .first = 1, .last = 1, .step = 1},
	{.name = "VSETATTR", .first = 1, .last = 1, .step = 1},
	{.name = "VSIM", .first = 1, .last = 1, .step = 1},
	{.name = "WAIT", .wait = REDIS_WAIT_MS_2},
	{.name = "WAITAOF", .wait = REDIS_WAIT_MS_3},
	{.name = "WATCH", .first = 1, .last = -1, .step = 1},
	{.name = "XACK", .first = 1, .last = 1, .step = 1},
	{.name = "XACKDEL", .first = 1, .last = 1, .step = 1},
	{.name = "XADD", .first = 1, .last = 1, .step = 1},
	{.name = "XAUTOCLAIM", .first = 1, .last = 1, .step = 1},
	{.name = "XCLAIM", .first = 1, .last = 1, .step = 1},
	{.name = "XDEL", .first = 1, .last = 1, .step = 1},
	{.name = "XDELEX", .first = 1, .last = 1, .step = 1},
	{.name = "XGROUP", .first = 2, .last = 2, .step = 1, .role = REDIS_ROLE_CONTAINER},
	{.name = "XINFO", .first = 2, .last = 2, .step = 1, .role = REDIS_ROLE_CONTAINER},
	{.name = "XLEN", .first = 1, .last = 1, .step = 1},
	{.name = "XPENDING", .first = 1, .last = 1, .step = 1},
	{.name = "XRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "XREAD", .role = REDIS_ROLE_STREAMS, .wait = REDIS_WAIT_BLOCK},
	{.name = "XREADGROUP", .role = REDIS_ROLE_STREAMS, .wait = REDIS_WAIT_BLOCK},
	{.name = "XREVRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "XSETID", .first = 1, .last = 1, .step = 1},
	{.name = "XTRIM", .first = 1, .last = 1, .step = 1},
	{.name = "ZADD", .first = 1, .last = 1, .step = 1},
	{.name = "ZCARD", .first = 1, .last = 1, .step = 1},
	{.name = "ZCOUNT", .first = 1, .last = 1, .step = 1},
	{.name = "ZDIFF", .count_at = 1},
	{.name = "ZDIFFSTORE", .first = 1, .last = 1, .step = 1, .count_at = 2},
	{.name = "ZINCRBY", .first = 1, .last = 1, .step = 1},
	{.name = "ZINTER", .count_at = 1},
	{.name = "ZINTERCARD", .count_at = 1},
	{.name = "ZINTERSTORE", .first = 1, .last = 1, .step = 1, .count_at = 2},
	{.name = "ZLEXCOUNT", .first = 1, .last = 1, .step = 1},
	{.name = "ZMPOP", .count_at = 1},
	{.name = "ZMSCORE", .first = 1, .last = 1, .step = 1},
	{.name = "ZPOPMAX", .first = 1, .last = 1, .step = 1},
	{.name = "ZPOPMIN", .first = 1, .last = 1, .step = 1},
	{.name = "ZRANDMEMBER", .first = 1, .last = 1, .step = 1},
	{.name = "ZRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "ZRANGEBYLEX", .first = 1, .last = 1, .step = 1},
	{.name = "ZRANGEBYSCORE", .first = 1, .last = 1, .step = 1},
	{.name = "ZRANGESTORE", .first = 1, .last = 2, .step = 1},
	{.name = "ZRANK", .first = 1, .last = 1, .step = 1},
	{.name = "ZREM", .first = 1, .last = 1, .step = 1},
	{.name = "ZREMRANGEBYLEX", .first = 1, .last = 1, .step = 1},
	{.name = "ZREMRANGEBYRANK", .first = 1, .last = 1, .step = 1},
	{.name = "ZREMRANGEBYSCORE", .first = 1, .last = 1, .step = 1},
	{.name = "ZREVRANGE", .first = 1, .last = 1, .step = 1},
	{.name = "ZREVRANGEBYLEX", .first = 1, .last = 1, .step = 1},
	{.name = "ZREVRANGEBYSCORE", .first = 1, .last = 1, .step = 1},
	{.name = "ZREVRANK", .first = 1, .last = 1, .step = 1},
	{.name = "ZSCAN", .first = 1, .last = 1, .step = 1},
	{.name = "ZSCORE", .first = 1, .last = 1, .step = 1},
	{.name = "ZUNION", .count_at = 1},
	{.name = "ZUNIONSTORE", .first = 1, .last = 1, .step = 1, .count_at = 2},
};

// The words of a name as numbers that compare like the text.
struct name_key {
	uint64_t word[NAME_WORDS];
};

static int compare(const struct name_key *key, const char name[24])
{
	for (uint32_t i = 0; i < NAME_WORDS; i++) {
		uint64_t other = tl_load_be64((const uint8_t *)name + i * 8);
		if (key->word[i] != other)
			return key->word[i] < other ? -1 : 1;
	}
	return 0;
}

const struct redis_command *tl_redis_command(struct tl_bytes name)
{
	uint8_t padded[NAME_WORDS * 8] = {0};
	struct name_key key;
	uint32_t low = 0;
	uint32_t high = TL_COUNT_OF(commands);

	if (name.len == 0 || name.len >= sizeof(padded))
		return NULL;
	memcpy(padded, name.ptr, name.len);
	for (uint32_t i = 0; i < NAME_WORDS; i++)
		key.word[i] = tl_load_be64(padded + i * 8);
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		int order = compare(&key, commands[middle].name);
		if (order == 0)
			return &commands[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct tl_bytes tl_redis_upper(struct tl_bytes word, uint8_t out[REDIS_NAME_BYTES_MAX])
{
	uint32_t len = word.len < REDIS_NAME_BYTES_MAX ? word.len : REDIS_NAME_BYTES_MAX;

	for (uint32_t i = 0; i < len; i++) {
		uint8_t c = word.ptr[i];
		out[i] = c >= 'a' && c <= 'z' ? (uint8_t)(c - 0x20) : c;
	}
	return tl_bytes(out, len);
}

enum tl_status tl_redis_status(struct tl_bytes prefix, enum tl_reason *ret_reason)
{
	static const char *const servers[] = {"LOADING", "BUSY", "OOM", "READONLY", "MISCONF",
					      "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
					      "NOREPLICAS"};

	*ret_reason = TL_REASON_NONE;
	if (tl_bytes_is(prefix, "MOVED") || tl_bytes_is(prefix, "ASK")) {
		*ret_reason = TL_REASON_REDIRECT;
		return TL_STATUS_OK;
	}
	for (uint32_t i = 0; i < TL_COUNT_OF(servers); i++)
		if (tl_bytes_is(prefix, servers[i]))
			return TL_STATUS_SERVER_ERROR;
	return TL_STATUS_CLIENT_ERROR;
}

#define DIGITS_MAX 18u // so that no sum can overflow

bool tl_redis_integer(struct tl_bytes digits, int64_t *ret_value)
{
	bool is_negative = digits.len != 0 && digits.ptr[0] == '-';
	int64_t value = 0;

	if (is_negative || (digits.len != 0 && digits.ptr[0] == '+'))
		digits = tl_bytes(digits.ptr + 1, digits.len - 1);
	if (digits.len == 0 || digits.len > DIGITS_MAX)
		return false;
	for (uint32_t i = 0; i < digits.len; i++) {
		uint32_t digit = (uint32_t)digits.ptr[i] - '0';
		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = is_negative ? -value : value;
	return true;
}

uint64_t tl_redis_duration(struct tl_bytes text, uint64_t unit_ns)
{
	uint32_t dot = tl_bytes_find(text, '.', 0);
	struct tl_bytes fraction = dot == TL_BYTES_NONE ? tl_bytes(NULL, 0)
							: tl_bytes_from(text, dot + 1);
	struct tl_bytes whole = dot == TL_BYTES_NONE ? text : tl_bytes_first(text, dot);
	int64_t units = 0;
	uint64_t ns = 0;

	if (whole.len != 0 && !tl_redis_integer(whole, &units))
		return 0;
	if (units < 0 || (uint64_t)units > UINT64_MAX / 2 / unit_ns)
		return 0;
	ns = (uint64_t)units * unit_ns;
	for (uint32_t i = 0; i < fraction.len && unit_ns >= 10; i++) {
		uint32_t digit = (uint32_t)fraction.ptr[i] - '0';
		if (digit > 9)
			return 0;
		unit_ns /= 10;
		ns += digit * unit_ns;
	}
	return ns;
}

bool tl_redis_glob(const char *pattern, struct tl_bytes text)
{
	const char *star = NULL;
	uint32_t star_at = 0;
	uint32_t at = 0;

	while (at < text.len) {
		if (*pattern == '*') {
			star = pattern++;
			star_at = at;
		} else if (*pattern == '?' || (*pattern != '\0' && (uint8_t)*pattern == text.ptr[at])) {
			pattern++;
			at++;
		} else if (star != NULL) {
			pattern = star + 1;
			at = ++star_at;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}
