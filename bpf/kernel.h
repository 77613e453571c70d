/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * The part of the kernel's BPF interface that the program uses, declared here so that building
 * needs clang and nothing else: no kernel headers, no libbpf. Numbers and layouts are user-space
 * ABI (include/uapi/linux/bpf.h) and cannot change.
 */
#ifndef BYWAY_KERNEL_H
#define BYWAY_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
/* In network byte order. */
typedef u16 be16;
typedef u32 be32;

#define INLINE static inline __attribute__((always_inline))
#define SECTION(name) __attribute__((section(name), used))
/* How a map declares itself to the loader, through BTF. */
#define NUMBER(name, value) int (*name)[value]
#define TYPE(name, type) type *name

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BE16(x) ((be16)__builtin_bswap16(x))
#define BE32(x) ((be32)__builtin_bswap32(x))
#else
#define BE16(x) ((be16)(x))
#define BE32(x) ((be32)(x))
#endif

enum map_type {
	MAP_HASH = 1,
	MAP_ARRAY = 2,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_HASH = 9,
	MAP_XSKMAP = 17,
};

enum action {
	XDP_DROP = 1,
	XDP_PASS = 2,
	XDP_REDIRECT = 4,
};

/* The verifier turns loads of data and data_end into pointers. */
struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
static u64 (*ktime_ns)(void) = (void *)5;
static long (*redirect_map)(void *map, u64 key, u64 flags) = (void *)51;
/* All octets of the frame, those in fragments of a multi-buffer frame included. Linux 5.18. */
static u64 (*frame_length)(struct xdp_md *ctx) = (void *)188;

#endif
