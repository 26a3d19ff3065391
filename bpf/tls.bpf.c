/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plaintext of TLS services, at the functions of their TLS library. User space
 * attaches the two programs at instructions that the kernel emulates
 * (src/probe/uprobe_site.h); the cookie says which function it is and where its
 * arguments lie there. A probe hits in every process that maps the library: the
 * thread's lookup sends away those that are not followed.
 */
#include "gait.bpf.h"

#define TLS_OBJECTS_MAX 65536

struct tls_key {
	__u64 ssl;
	__u64 tgid;
};

/*
 * The connection of a library's object, from the last time that it moved ciphertext: a
 * read that is served from the library's buffer makes no system call. An object whose
 * memory becomes another's moves ciphertext before it has any plaintext to give.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TLS_OBJECTS_MAX);
	__type(key, struct tls_key);
	__type(value, struct tls_socket);
} tls_sockets SEC(".maps");

#if defined(__TARGET_ARCH_x86)
static __always_inline __u32 register_offset(__u32 which)
{
	switch (which) {
	case PR_AX:
		return bpf_core_field_offset(struct pt_regs, ax);
	case PR_BX:
		return bpf_core_field_offset(struct pt_regs, bx);
	case PR_CX:
		return bpf_core_field_offset(struct pt_regs, cx);
	case PR_DX:
		return bpf_core_field_offset(struct pt_regs, dx);
	case PR_SI:
		return bpf_core_field_offset(struct pt_regs, si);
	case PR_DI:
		return bpf_core_field_offset(struct pt_regs, di);
	case PR_BP:
		return bpf_core_field_offset(struct pt_regs, bp);
	case PR_SP:
		return bpf_core_field_offset(struct pt_regs, sp);
	case PR_R8:
		return bpf_core_field_offset(struct pt_regs, r8);
	case PR_R9:
		return bpf_core_field_offset(struct pt_regs, r9);
	case PR_R10:
		return bpf_core_field_offset(struct pt_regs, r10);
	case PR_R11:
		return bpf_core_field_offset(struct pt_regs, r11);
	case PR_R12:
		return bpf_core_field_offset(struct pt_regs, r12);
	case PR_R13:
		return bpf_core_field_offset(struct pt_regs, r13);
	case PR_R14:
		return bpf_core_field_offset(struct pt_regs, r14);
	default:
		return bpf_core_field_offset(struct pt_regs, r15);
	}
}

/* The verifier wants fixed offsets into a context, so it is read as any kernel memory. */
static __always_inline __u64 register_of(const struct pt_regs *ctx, __u32 which)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (const void *)ctx + register_offset(which));
	return value;
}
#define RETURNED(ctx) ((ctx)->ax)
#define STACK(ctx) ((ctx)->sp)
#else
static __always_inline __u64 register_of(const struct pt_regs *ctx, __u32 which)
{
	return 0; /* uprobe_site.c knows no site on this machine: nothing is attached */
}
#define RETURNED(ctx) 0
#define STACK(ctx) 0
#endif

/* In a pause, or at the end: half of a turn would be seen. */
static __always_inline bool is_off(void)
{
	return tls_stopped || bpf_ktime_get_ns() < resumed_ns;
}

/* The thread is in user code, where no system call's programs keep its counters up to date. */
static __always_inline void charge_now(struct thread_slot *slot)
{
	__u64 now = slot_now(slot);

	slot->sequence++;
	account_present(slot, now);
	account_charge(slot, now);
	slot->sequence++;
}

/*
 * One function may call another that is followed too, deeper in the stack: the outer one is what
 * the program asked for. At the same depth or above, the way out of the last one was missed.
 */
SEC("uprobe")
int on_tls_enter(struct pt_regs *ctx)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;
	__u64 cookie;

	if (!slot || is_off())
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	if (in_tls(thread) && STACK(ctx) < thread->tls.sp)
		return 0;
	thread->tls.sp = STACK(ctx);
	thread->tls.ssl = register_of(ctx, TLS_COOKIE_SSL(cookie));
	thread->tls.buffer = register_of(ctx, TLS_COOKIE_BUFFER(cookie));
	thread->tls.moved = TLS_COOKIE_FORM(cookie) == TLS_FORM_POINTER ?
				    register_of(ctx, TLS_COOKIE_MOVED(cookie)) :
				    0;
	thread->tls.socket.socket_id = 0;
	charge_now(slot);
	thread->tls.enter_ns = account_read(slot, thread->tls.enter);
	thread->tls_op = TLS_COOKIE_OP(cookie);
	return 0;
}

/* Bytes of plaintext; of a handshake 1: it is done. 0 or less: nothing was moved, or it failed. */
static __always_inline __s64 moved_by(const struct tls_call *tls, __s32 returned)
{
	__u64 moved = 0;

	if (returned <= 0 || !tls->moved)
		return returned;
	bpf_probe_read_user(&moved, sizeof(moved), (void *)tls->moved);
	return moved;
}

/* The connection of the call: the one it moved ciphertext on, else its object's last. */
static __always_inline void find_socket(struct tls_call *tls, __u32 tgid)
{
	struct tls_key key = { tls->ssl, tgid };
	struct tls_socket *known = bpf_map_lookup_elem(&tls_sockets, &key);

	if (tls->socket.socket_id) {
		if (!known || known->socket_id != tls->socket.socket_id)
			bpf_map_update_elem(&tls_sockets, &key, &tls->socket, BPF_ANY);
	} else if (known) {
		tls->socket = *known;
	}
}

static __always_inline void fill_tls(struct event_tls *e, const struct thread *thread,
				     struct thread_slot *slot, __u64 op, __s64 bytes)
{
	__u32 moved;

	event_head(&e->head, EVENT_TLS, slot, thread->slot, 0);
	e->enter_ns = thread->tls.enter_ns;
	e->socket_id = thread->tls.socket.socket_id;
	e->bytes = bytes;
	e->op = op;
	for (int i = 0; i < TS_COUNT; i++)
		e->enter[i] = thread->tls.enter[i];
	charge_now(slot);
	moved = slot->moved;
	e->head.ns = account_read(slot, e->exit);
	account_told(slot, moved);
}

/* With room for so many bytes of plaintext. */
#define EMIT_TLS(room)                                                                      \
	do {                                                                                \
		struct event_tls *e = bpf_ringbuf_reserve(&events, sizeof(*e) + (room), 0); \
                                                                                            \
		if (!e) {                                                                   \
			loss_count(LOSS_RING_FULL);                                         \
			slot->unsaid = ~0u;                                                 \
			return;                                                             \
		}                                                                           \
		fill_tls(e, thread, slot, op, bytes);                                       \
		if (wanted > (room))                                                        \
			wanted = (room);                                                    \
		e->seen = wanted;                                                           \
		if (bpf_probe_read_user(e->plain, wanted, (void *)thread->tls.buffer))      \
			e->seen = 0;                                                        \
		bpf_ringbuf_submit(e, ring_flags());                                        \
	} while (0)

/* As of a system call: all that a framer needs, while the service is known to need one. */
static __always_inline __u64 plain_wanted(const struct tls_socket *socket, __u64 op, __s64 bytes)
{
	__u8 unwanted = unwanted_bytes[socket->unwanted_at & 0xffff];

	if (bytes <= 0 || op == TLS_HANDSHAKE)
		return 0;
	if (op == TLS_WRITE && (unwanted & UNWANTED_OUT || !socket->unwanted_at))
		return 0;
	if (bytes > EVENT_BYTES_MIDDLE && (unwanted & UNWANTED_IN || !socket->unwanted_at))
		return EVENT_BYTES_MIDDLE;
	return bytes;
}

static __always_inline void emit_tls(struct thread *thread, struct thread_slot *slot, __u64 op,
				     __s64 bytes)
{
	__u64 wanted = plain_wanted(&thread->tls.socket, op, bytes);

	if (wanted <= EVENT_BYTES_SMALL)
		EMIT_TLS(EVENT_BYTES_SMALL);
	else if (wanted <= EVENT_BYTES_MIDDLE)
		EMIT_TLS(EVENT_BYTES_MIDDLE);
	else
		EMIT_TLS(EVENT_BYTES_LARGE);
}

/* Calls that neither gave plaintext nor moved ciphertext (try again) are not worth an event. */
SEC("uprobe")
int on_tls_leave(struct pt_regs *ctx)
{
	struct thread *thread = thread_of(bpf_get_current_task_btf());
	struct thread_slot *slot = thread ? slot_of(thread) : NULL;
	__u64 op = thread && in_tls(thread) ? thread->tls_op : TLS_NONE;
	__s64 bytes;

	if (!slot || is_off() || !op || op != TLS_COOKIE_OP(bpf_get_attach_cookie(ctx)))
		return 0;
	thread->tls_op = TLS_NONE;
	bytes = moved_by(&thread->tls, RETURNED(ctx));
	if (bytes <= 0 && !thread->tls.socket.socket_id)
		return 0;
	find_socket(&thread->tls, slot->tgid);
	if (thread->tls.socket.socket_id && !thread->tls.socket.unsampled)
		emit_tls(thread, slot, op, bytes);
	return 0;
}
