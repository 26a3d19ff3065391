/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "gait.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct thread_map threads SEC(".maps");
struct slot_map slots SEC(".maps");
struct free_slot_map free_slots SEC(".maps");
struct target_map targets SEC(".maps");
struct socket_map sockets SEC(".maps");
struct stamp_map datagram_stamps SEC(".maps");
struct segment_map segments SEC(".maps");
struct event_map events SEC(".maps");

__u8 followed_ports[65536];
__u8 unwanted_bytes[65536];
__u8 stamps_wanted;
__u64 losses[LOSS_COUNT];
__u64 sockets_seen;
__u64 sockets_unsampled;
__u64 sends;
__u64 resumed_ns;
__u32 rebase_how;
__u64 tls_stopped;
bool uring_used;
__u32 held[HELD_MAX];
__u32 held_count;

const volatile struct syscall_class cfg_syscalls[SYSCALLS_MAX] = {};
const volatile bool cfg_requests_only = false;
const volatile bool cfg_logs = false;
const volatile __u32 cfg_sample = 0;
const volatile __s64 cfg_steal_from_rq = 0;
const volatile __u32 cfg_held_flag = 0;
