#ifndef UNIT_OS_SANDBOX_ATTEMPTS_H
#define UNIT_OS_SANDBOX_ATTEMPTS_H

/* What is tried from inside each process: TRY(name, who may, call). See sandbox_roles.c. */

/* clang-format off */
#define ATTEMPTS(TRY) \
	/* files: its own */ \
	TRY(keep_its_state, ENGINE | SERVICE | WATCH, keeps_files()) \
	TRY(read_chain_db, ENGINE | SERVICE | WATCH, opens(at("chain/chain.db"), O_RDONLY)) \
	TRY(make_the_log_anew, ENGINE | SERVICE | WATCH, opens(at("log/log"), O_WRONLY | O_CREAT | O_APPEND)) \
	TRY(remove_its_socket, ENGINE | SERVICE | WATCH, unlink(at("run/control.sock"))) \
	TRY(open_tun, HELPERS, opens("/dev/net/tun", O_RDWR)) \
	TRY(write_sysctls_of_interfaces, HELPERS, opens("/proc/sys/net/ipv6/conf/lo/accept_ra", O_WRONLY)) \
	TRY(read_resolv_conf, ENGINE | WATCH, opens("/etc/resolv.conf", O_RDONLY)) \
	/* files: others' */ \
	TRY(write_chain_db, 0, opens(at("chain/chain.db"), O_WRONLY)) \
	TRY(replace_chain_db, 0, replaces(at("chain/new"), at("chain/chain.db"))) \
	TRY(remove_chain_db, 0, unlink(at("chain/chain.db"))) \
	TRY(read_another_key, 0, opens(at("other/service.key"), O_RDONLY)) \
	TRY(write_another_key, 0, opens(at("other/service.key"), O_WRONLY)) \
	TRY(list_another_folder, 0, opens(at("other"), O_RDONLY | O_DIRECTORY)) \
	TRY(move_state_elsewhere, 0, replaces(at("state/moved"), at("chain/chain.db"))) \
	TRY(make_in_another_folder, 0, opens(at("other/new"), O_WRONLY | O_CREAT)) \
	TRY(remove_in_another_folder, 0, unlink(at("other/service.key"))) \
	TRY(make_in_tmp, 0, opens("/tmp/dnet-roles", O_WRONLY | O_CREAT | O_EXCL)) \
	TRY(make_beside_the_socket, 0, opens(at("run/new"), O_WRONLY | O_CREAT)) \
	TRY(list_the_root_folder, 0, opens("/", O_RDONLY | O_DIRECTORY)) \
	TRY(list_etc, 0, opens("/etc", O_RDONLY | O_DIRECTORY)) \
	TRY(read_shadow, 0, opens("/etc/shadow", O_RDONLY)) \
	TRY(write_passwd, 0, opens("/etc/passwd", O_WRONLY)) \
	TRY(make_in_etc, 0, opens("/etc/dnet-roles", O_WRONLY | O_CREAT | O_EXCL)) \
	TRY(write_a_program, 0, opens("/usr/bin/env", O_WRONLY)) \
	TRY(read_own_memory_as_file, 0, opens("/proc/self/mem", O_RDWR)) \
	TRY(read_environment_of_others, 0, opens("/proc/1/environ", O_RDONLY)) \
	TRY(list_processes, 0, opens("/proc", O_RDONLY | O_DIRECTORY)) \
	TRY(write_core_pattern, 0, opens("/proc/sys/kernel/core_pattern", O_WRONLY)) \
	TRY(switch_forwarding, 0, opens("/proc/sys/net/ipv4/ip_forward", O_WRONLY)) \
	TRY(read_kernel_log, 0, opens("/dev/kmsg", O_RDONLY)) \
	TRY(open_a_terminal, 0, opens("/dev/ptmx", O_RDWR)) \
	TRY(make_a_folder, 0, mkdir(at("state/folder"), 0700)) \
	/* only with a program of a backend, in the state folder */ \
	TRY(make_a_folder_at, 0, mkdirat(AT_FDCWD, at("state/folder"), 0700)) \
	TRY(make_a_device, 0, mknod(at("state/device"), S_IFCHR | 0600, 0x103)) \
	TRY(make_a_link, 0, link(at("other/service.key"), at("state/link"))) \
	TRY(make_a_symbolic_link, 0, symlink("/etc/shadow", at("state/symlink"))) \
	TRY(cut_a_file_of_others, 0, truncate(at("other/service.key"), 0)) \
	TRY(give_a_file_away, 0, chown(at("other/service.key"), 0, 0)) \
	TRY(change_a_mode, 0, chmod("/etc/shadow", 0640)) \
	TRY(change_a_mode_at, 0, syscall(SYS_fchmodat, AT_FDCWD, at("other/service.key"), 0666)) \
	TRY(change_times, 0, syscall(SYS_utimensat, AT_FDCWD, at("other/service.key"), NULL, 0)) \
	TRY(open_by_handle, 0, syscall(SYS_open_by_handle_at, -1, NULL, 0)) \
	TRY(watch_all_files, 0, syscall(SYS_fanotify_init, 0, 0)) \
	/* sockets */ \
	TRY(open_udp, ENGINE | WATCH, socket(AF_INET, SOCK_DGRAM, 0)) \
	TRY(open_udp6, ENGINE | WATCH, socket(AF_INET6, SOCK_DGRAM, 0)) \
	TRY(open_unix, ENGINE | SERVICE | WATCH, socket(AF_UNIX, SOCK_STREAM, 0)) \
	TRY(open_netlink, ENGINE | WATCH, socket(AF_NETLINK, SOCK_RAW, 0)) \
	TRY(ask_name_servers_by_tcp, ENGINE | WATCH, connects(53)) \
	TRY(connect_by_tcp, ENGINE | WATCH, connects(8332)) \
	TRY(bind_udp, ENGINE | WATCH, binds(SOCK_DGRAM)) \
	TRY(bind_tcp, 0, binds(SOCK_STREAM)) \
	TRY(listen_somewhere, 0, listen(-1, 1)) \
	TRY(open_raw, 0, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)) \
	TRY(open_raw6, 0, socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)) \
	TRY(open_raw_udp, RAW_HELPER, socket(AF_INET, SOCK_RAW, IPPROTO_UDP)) \
	TRY(open_raw_udp6, RAW_HELPER, socket(AF_INET6, SOCK_RAW, IPPROTO_UDP)) \
	TRY(write_ip_headers, 0, writes_headers(IPPROTO_IP, IP_HDRINCL)) \
	TRY(write_ipv6_headers, 0, writes_headers(IPPROTO_IPV6, 36 /* IPV6_HDRINCL */)) \
	TRY(set_other_options, ENGINE | HELPERS | SERVICE | WATCH, writes_headers(IPPROTO_IP, IP_TTL)) \
	TRY(open_packet, 0, socket(AF_PACKET, SOCK_RAW, 0)) \
	TRY(open_other_netlink, 0, socket(AF_NETLINK, SOCK_RAW, 9 /* audit */)) \
	TRY(open_vsock, 0, socket(40 /* AF_VSOCK */, SOCK_STREAM, 0)) \
	TRY(open_kernel_ciphers, 0, socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0)) \
	TRY(connect_abstract, 0, connects_abstract()) \
	TRY(make_tun, HELPERS, asks_device(TUNSETIFF)) \
	TRY(make_tun_stay, 0, asks_device(TUNSETPERSIST)) \
	TRY(change_an_interface, 0, asks_device(SIOCSIFFLAGS)) \
	TRY(type_into_the_terminal, 0, asks_device(TIOCSTI)) \
	/* programs and processes */ \
	TRY(run_threads, ENGINE | HELPERS | SERVICE | WATCH, makes_thread()) \
	TRY(resolve_names, ENGINE | WATCH, resolves()) \
	TRY(run_a_program, 0, execve("/bin/true", (char *[]){"true", NULL}, NULL)) \
	TRY(run_a_program_by_descriptor, 0, syscall(SYS_execveat, -1, "/bin/true", NULL, NULL, 0)) \
	TRY(fork_itself, 0, syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)) \
	TRY(vfork_itself, 0, syscall(SYS_clone, CLONE_VM | SIGCHLD, NULL, NULL, NULL, NULL)) \
	TRY(trace, 0, ptrace(PTRACE_TRACEME, 0, NULL, NULL)) \
	TRY(read_memory_of_others, 0, syscall(SYS_process_vm_readv, tester, NULL, 0, NULL, 0, 0)) \
	TRY(write_memory_of_others, 0, syscall(SYS_process_vm_writev, tester, NULL, 0, NULL, 0, 0)) \
	TRY(compare_with_others, 0, syscall(SYS_kcmp, tester, tester, 0, 0, 0)) \
	TRY(take_descriptors_of_others, 0, syscall(SYS_pidfd_open, tester, 0)) \
	TRY(kill_others, 0, kill(tester, 0)) \
	TRY(kill_threads_of_others, 0, syscall(SYS_tgkill, tester, tester, 0)) \
	TRY(signal_itself, ENGINE | HELPERS | SERVICE | WATCH, syscall(SYS_tgkill, getpid(), gettid(), 0)) \
	TRY(limit_others, 0, syscall(SYS_prlimit64, tester, RLIMIT_CORE, NULL, NULL)) \
	TRY(change_limits, 0, sets_limit()) \
	TRY(change_priority, 0, setpriority(PRIO_PROCESS, 0, -20)) \
	/* users, capabilities, kernel */ \
	TRY(become_a_user, 0, setuid(getuid())) \
	TRY(become_a_user_by_number, 0, syscall(SYS_setresuid, -1, -1, -1)) \
	TRY(become_a_group, 0, setgid(getgid())) \
	TRY(join_groups, 0, setgroups(0, NULL)) \
	TRY(set_capabilities, 0, sets_capabilities()) \
	TRY(be_dumped, 0, prctl(PR_SET_DUMPABLE, 1)) \
	TRY(be_traced, 0, prctl(PR_SET_PTRACER, tester)) \
	TRY(keep_capabilities, 0, prctl(PR_SET_KEEPCAPS, 1)) \
	TRY(raise_ambient_capabilities, 0, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0)) \
	TRY(load_another_filter, 0, syscall(SYS_seccomp, 0, 0, NULL)) \
	TRY(make_landlock_rules, 0, syscall(SYS_landlock_create_ruleset, NULL, 0, 1)) \
	TRY(mount_something, 0, mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL)) \
	TRY(mount_something_newly, 0, syscall(SYS_fsopen, "tmpfs", 0)) \
	TRY(unmount_something, 0, umount2("/none", 0)) \
	TRY(change_root, 0, chroot("/")) \
	TRY(pivot_root, 0, syscall(SYS_pivot_root, "/", "/")) \
	TRY(make_namespaces, 0, unshare(CLONE_NEWUSER)) \
	TRY(make_namespaces_by_clone, 0, syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL)) \
	TRY(enter_namespaces, 0, setns(-1, 0)) \
	TRY(load_bpf, 0, syscall(SYS_bpf, 0, NULL, 0)) \
	TRY(count_events, 0, syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0)) \
	TRY(make_a_ring, 0, syscall(SYS_io_uring_setup, 1, NULL)) \
	TRY(handle_faults, 0, syscall(SYS_userfaultfd, 0)) \
	TRY(use_kernel_keys, 0, syscall(SYS_keyctl, 0)) \
	TRY(add_kernel_keys, 0, syscall(SYS_add_key, "user", "x", "x", 1, -3)) \
	TRY(load_a_module, 0, syscall(SYS_init_module, NULL, 0, NULL)) \
	TRY(load_a_kernel, 0, syscall(SYS_kexec_load, 0, 0, NULL, 0)) \
	TRY(reboot_it, 0, syscall(SYS_reboot, 0, 0, 0, NULL)) \
	TRY(swap_here, 0, syscall(SYS_swapon, "/none", 0)) \
	TRY(account_processes, 0, syscall(SYS_acct, NULL)) \
	TRY(set_the_clock, 0, syscall(SYS_clock_settime, 0, NULL)) \
	TRY(adjust_the_clock, 0, syscall(SYS_adjtimex, NULL)) \
	TRY(name_the_machine, 0, sethostname("x", 1)) \
	TRY(read_kernel_messages, 0, syscall(SYS_syslog, 3, NULL, 0)) \
	TRY(make_memory_files, 0, syscall(SYS_memfd_create, "x", 0)) \
	TRY(change_personality, 0, syscall(SYS_personality, 0xffffffff))
/* clang-format on */

#endif
