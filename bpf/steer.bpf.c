/* SPDX-License-Identifier: Dual MIT/GPL */
/*
 * Picks the frames that belong to Byway's TCP and hands them to the AF_XDP socket of their receive
 * queue; every other frame goes on to the kernel as if nothing were here. README.md has the rules.
 */
#include "headers.h"
#include "kernel.h"
#include "steer.h"

/* IPv6 extension headers that are looked behind; a packet with more passes. */
#define EXTENSIONS 6
/* As long as the kernel waits for the fragments of a datagram (RFC 8200 4.5: at most 60 s). */
#define FRAGMENT_LIFETIME_NS (30ULL * 1000 * 1000 * 1000)

/* One socket a receive queue; user space sets the size. */
struct {
	NUMBER(type, MAP_XSKMAP);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, u32);
} sockets SECTION(".maps");

/* Where we accept connections. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, struct endpoint);
	TYPE(value, u32);
} listeners SECTION(".maps");

/* Which addresses are ours. */
struct {
	NUMBER(type, MAP_HASH);
	NUMBER(max_entries, 1024);
	TYPE(key, struct address);
	TYPE(value, u32);
} local_addresses SECTION(".maps");

struct {
	NUMBER(type, MAP_ARRAY);
	NUMBER(max_entries, 1);
	TYPE(key, u32);
	TYPE(value, struct rules);
} steering SECTION(".maps");

/* Datagrams whose first fragment was ours, and when it came (ns). */
struct {
	NUMBER(type, MAP_LRU_HASH);
	NUMBER(max_entries, 4096);
	TYPE(key, struct datagram);
	TYPE(value, u64);
} fragments SECTION(".maps");

struct {
	NUMBER(type, MAP_PERCPU_ARRAY);
	NUMBER(max_entries, VERDICTS);
	TYPE(key, u32);
	TYPE(value, u64);
} verdicts SECTION(".maps");

INLINE void count(u32 verdict)
{
	u64 *slot = map_lookup(&verdicts, &verdict);

	if (slot)
		*slot += 1;
}

INLINE int pass(u32 verdict)
{
	count(verdict);
	return XDP_PASS;
}

/* To the socket of this queue. Without one: drop, because the kernel would answer with a reset. */
INLINE int redirect(struct xdp_md *ctx, u32 verdict)
{
	long action = redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);

	count(action == XDP_REDIRECT ? verdict : DROP_NO_SOCKET);
	return action;
}

INLINE void set_v4(struct address *address, be32 v4)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = BE32(0xffff);
	address->word[3] = v4;
}

INLINE void set_v6(struct address *address, const be32 *v6)
{
	address->word[0] = v6[0];
	address->word[1] = v6[1];
	address->word[2] = v6[2];
	address->word[3] = v6[3];
}

/*
 * True when this is our end of a flow. `any` is the unspecified address of the family. Ports of our
 * own connections come first, because their range is known without a lookup.
 */
INLINE int ours(struct endpoint *end, const struct address *any)
{
	u32 zero = 0;
	struct rules *rules = map_lookup(&steering, &zero);
	u32 port = BE16(end->port);
	int local;

	if (!rules)
		return 0;
	if (port >= rules->ephemeral_first && port <= rules->ephemeral_last) {
		local = map_lookup(&local_addresses, &end->address) != 0;
		return local || map_lookup(&listeners, end) != 0;
	}
	if (map_lookup(&listeners, end))
		return 1;
	if (!map_lookup(&local_addresses, &end->address))
		return 0;
	end->address = *any;
	return map_lookup(&listeners, end) != 0;
}

INLINE int ours_v4(be32 address, be16 port)
{
	struct endpoint end = { .port = port };
	struct address any;

	set_v4(&end.address, address);
	set_v4(&any, 0);
	return ours(&end, &any);
}

INLINE int ours_v6(const be32 *address, be16 port)
{
	struct endpoint end = { .port = port };
	struct address any = {};

	set_v6(&end.address, address);
	return ours(&end, &any);
}

/* A first fragment: the others of its datagram go where it goes. */
INLINE int first_fragment(struct xdp_md *ctx, const struct datagram *datagram, int is_ours)
{
	u64 now;

	if (!is_ours) {
		/* The id is in use again, for someone else. */
		map_delete(&fragments, datagram);
		return pass(PASS_NOT_OURS);
	}
	now = ktime_ns();
	map_update(&fragments, datagram, &now, 0);
	return redirect(ctx, REDIRECT_FRAGMENT);
}

/* Any other fragment; one that overtook its first is unknown here, and passes. */
INLINE int later_fragment(struct xdp_md *ctx, const struct datagram *datagram)
{
	u64 *since = map_lookup(&fragments, datagram);

	if (!since || ktime_ns() - *since > FRAGMENT_LIFETIME_NS)
		return pass(PASS_FRAGMENT);
	return redirect(ctx, REDIRECT_FRAGMENT);
}

/* An error about a packet that we sent? Its source, quoted, is then our end of a flow. */
INLINE int icmp_v4(struct xdp_md *ctx, void *at, void *end)
{
	struct icmp *icmp = at;
	struct ipv4 *quoted = (void *)(icmp + 1);
	struct ports *ports;
	u32 header;

	if ((void *)(icmp + 1) > end)
		return pass(PASS_TRUNCATED);
	/* Unreachable, source quench, time exceeded, parameter problem (RFC 792). */
	if (icmp->type != 3 && icmp->type != 4 && icmp->type != 11 && icmp->type != 12)
		return pass(PASS_ICMP);
	if ((void *)(quoted + 1) > end)
		return pass(PASS_TRUNCATED);
	header = (quoted->version_ihl & 15) * 4;
	if (quoted->version_ihl >> 4 != 4 || header < sizeof(*quoted))
		return pass(PASS_MALFORMED);
	if (quoted->protocol != PROTO_TCP || quoted->fragment & IPV4_OFFSET_MASK)
		return pass(PASS_ICMP);
	ports = (void *)quoted + header;
	if ((void *)(ports + 1) > end)
		return pass(PASS_TRUNCATED);
	if (!ours_v4(quoted->source, ports->source))
		return pass(PASS_ICMP);
	return redirect(ctx, REDIRECT_ICMP);
}

/* As icmp_v4. What we send has no extension headers, so a quotation of it has none either. */
INLINE int icmp_v6(struct xdp_md *ctx, void *at, void *end)
{
	struct icmp *icmp = at;
	struct ipv6 *quoted = (void *)(icmp + 1);
	struct ports *ports = (void *)(quoted + 1);

	if ((void *)(icmp + 1) > end)
		return pass(PASS_TRUNCATED);
	/* Unreachable, packet too big, time exceeded, parameter problem (RFC 4443). */
	if (icmp->type < 1 || icmp->type > 4)
		return pass(PASS_ICMP);
	if ((void *)(ports + 1) > end)
		return pass(PASS_TRUNCATED);
	if (quoted->next_header != PROTO_TCP || !ours_v6(quoted->source, ports->source))
		return pass(PASS_ICMP);
	return redirect(ctx, REDIRECT_ICMP);
}

INLINE int fragment_v4(struct xdp_md *ctx, struct ipv4 *ip, void *payload, void *end)
{
	struct datagram datagram = { .id = ip->id, .protocol = ip->protocol };
	struct ports *ports = payload;

	if (ip->protocol != PROTO_TCP)
		return pass(PASS_NOT_TCP);
	set_v4(&datagram.source, ip->source);
	set_v4(&datagram.destination, ip->destination);
	if (ip->fragment & IPV4_OFFSET_MASK)
		return later_fragment(ctx, &datagram);
	if ((void *)(ports + 1) > end)
		return pass(PASS_TRUNCATED);
	return first_fragment(ctx, &datagram, ours_v4(ip->destination, ports->destination));
}

INLINE int steer_v4(struct xdp_md *ctx, void *at, void *end)
{
	struct ipv4 *ip = at;
	struct ports *ports;
	u32 header, total, least;

	if ((void *)(ip + 1) > end)
		return pass(PASS_TRUNCATED);
	header = (ip->version_ihl & 15) * 4;
	total = BE16(ip->total_length);
	if (ip->version_ihl >> 4 != 4 || header < sizeof(*ip) || total < header)
		return pass(PASS_MALFORMED);
	if ((u64)(at - (void *)(long)ctx->data) + total > frame_length(ctx))
		return pass(PASS_TRUNCATED);
	ports = at + header;
	least = sizeof(*ports);
	if (ip->fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) {
		if (total < header + least)
			return pass(PASS_MALFORMED);
		return fragment_v4(ctx, ip, ports, end);
	}
	if (ip->protocol == PROTO_ICMP)
		return icmp_v4(ctx, ports, end);
	if (ip->protocol != PROTO_TCP)
		return pass(PASS_NOT_TCP);
	/* Octets behind the IP packet are padding, never a TCP header. */
	if (total < header + TCP_HEADER)
		return pass(PASS_MALFORMED);
	if ((void *)ports + TCP_HEADER > end)
		return pass(PASS_TRUNCATED);
	if (!ours_v4(ip->destination, ports->destination))
		return pass(PASS_NOT_OURS);
	return redirect(ctx, REDIRECT_TCP);
}

/* What the walk along the extension headers knows. */
struct walk {
	void *at;
	/* Octets of the payload before `at`. */
	u32 used;
	u8 next;
	u8 first_fragment;
};

/* Where a walk can end, apart from a verdict. */
enum {
	AT_UPPER_LAYER = VERDICTS,
	AT_LATER_FRAGMENT,
};

INLINE u32 walk_extensions(struct walk *walk, struct datagram *datagram, void *end)
{
	u32 length;

#pragma unroll
	for (int i = 0; i <= EXTENSIONS; i++) {
		struct extension *extension = walk->at;
		struct fragment *fragment = walk->at;

		if (walk->next != PROTO_HOP_BY_HOP && walk->next != PROTO_ROUTING &&
		    walk->next != PROTO_DESTINATION && walk->next != PROTO_AUTHENTICATION &&
		    walk->next != PROTO_FRAGMENT)
			return AT_UPPER_LAYER;
		/* Each of them has eight octets at least, the size of a fragment header. */
		if ((void *)(fragment + 1) > end)
			return PASS_TRUNCATED;
		if (walk->next == PROTO_FRAGMENT) {
			datagram->id = fragment->id;
			if (fragment->offset & IPV6_OFFSET_MASK)
				return AT_LATER_FRAGMENT;
			walk->first_fragment = (fragment->offset & IPV6_MORE_FRAGMENTS) != 0;
			length = sizeof(*fragment);
		} else if (walk->next == PROTO_AUTHENTICATION) {
			length = (extension->length + 2) * 4;
		} else {
			/* Not yet at the last destination of a routing header (RFC 8200 4.4). */
			if (walk->next == PROTO_ROUTING && extension->segments_left)
				return PASS_EXTENSION;
			length = (extension->length + 1) * 8;
		}
		walk->next = extension->next_header;
		walk->used += length;
		walk->at += length;
	}
	return PASS_EXTENSION;
}

INLINE int steer_v6(struct xdp_md *ctx, void *at, void *end)
{
	struct ipv6 *ip = at;
	struct datagram datagram = {};
	struct walk walk = {};
	struct ports *ports;
	u32 payload, reached;
	int is_ours = 0;

	if ((void *)(ip + 1) > end)
		return pass(PASS_TRUNCATED);
	payload = BE16(ip->payload_length);
	if ((ip->version_class_flow & BE32(0xf0000000)) != BE32(0x60000000))
		return pass(PASS_MALFORMED);
	if ((u64)(at - (void *)(long)ctx->data) + sizeof(*ip) + payload > frame_length(ctx))
		return pass(PASS_TRUNCATED);
	set_v6(&datagram.source, ip->source);
	set_v6(&datagram.destination, ip->destination);
	walk.at = ip + 1;
	walk.next = ip->next_header;
	reached = walk_extensions(&walk, &datagram, end);
	if (reached == AT_LATER_FRAGMENT)
		return later_fragment(ctx, &datagram);
	if (reached != AT_UPPER_LAYER)
		return pass(reached);

	if (walk.next == PROTO_ICMPV6 && !walk.first_fragment)
		return icmp_v6(ctx, walk.at, end);
	ports = walk.at;
	if (walk.next == PROTO_TCP) {
		if (payload < walk.used + (walk.first_fragment ? sizeof(*ports) : TCP_HEADER))
			return pass(PASS_MALFORMED);
		if ((void *)(ports + 1) > end)
			return pass(PASS_TRUNCATED);
		is_ours = ours_v6(ip->destination, ports->destination);
	}
	if (walk.first_fragment)
		return first_fragment(ctx, &datagram, is_ours);
	if (walk.next != PROTO_TCP)
		return pass(PASS_NOT_TCP);
	if (!is_ours)
		return pass(PASS_NOT_OURS);
	return redirect(ctx, REDIRECT_TCP);
}

SECTION("xdp.frags")
int steer(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethernet *ethernet = (void *)(long)ctx->data;
	void *at = ethernet + 1;
	be16 type;

	if (at > end)
		return pass(PASS_TRUNCATED);
	type = ethernet->type;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		struct vlan *vlan = at;

		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
			break;
		if ((void *)(vlan + 1) > end)
			return pass(PASS_TRUNCATED);
		type = vlan->type;
		at = vlan + 1;
	}
	if (type == ETHERTYPE_IPV4)
		return steer_v4(ctx, at, end);
	if (type == ETHERTYPE_IPV6)
		return steer_v6(ctx, at, end);
	return pass(PASS_NOT_IP);
}

/* The kernel asks for it; the helpers used here are open to every licence. */
const char licence[] SECTION("license") = "Dual MIT/GPL";
