%% SPDX-License-Identifier: Apache-2.0
%% @doc What code in a sandbox tries, and what comes of it at each level.
%%
%% A case is `{Name, Code, #{Level => Expected}}'; the code is the body of a
%% function.  `locked' stands for both `default' and `strict'.  Where it does no harm
%% the case says what the same code does when nothing is locked (`trusted'): so it is
%% known to try something.  Where a layer is left out it is as at `default', unless the
%% case says otherwise (`no_landlock', ...), at `strict' only for what is `of_counts';
%% but of `no_seccomp', which is tried with the cases in which other layers hold as
%% well.  What is about files is not tried where nothing guards them.  Expected is
%%   {value, V}, {most, N}, {least, N}   what the function returns
%%   {raises, [Type]}                    it raises one of these, the context lives
%%   violation                           the process is killed for it
%%   {crashed, [Signal | Status]}        it ends otherwise
%%   timeout                             it is interrupted or killed when its time is up
%%   survives                            whatever comes of it, the context goes on
%%   {any, [Expected]}                   one of these
%%
%% test/sandbox.md lists what is tried, and by which of these and of other tests.
-module(py_sandbox_cases).

-export([all/0, names/0, expected/3, prelude/0, calls/0, stubborn/0, stubbornness/0]).

names() ->
    [Name || {Name, _, _} <- all()].

all() ->
    without_seccomp(of_files(files() ++ looks()) ++ state() ++ loops()) ++ children() ++
        threads() ++ privileges() ++ signals() ++ questions() ++ kernel() ++ network() ++
        connections() ++ of_files(shared_files()) ++ memory() ++ bombs() ++ answers().

without_seccomp(Cases) ->
    [{Name, Code, E#{no_seccomp => expected(default, [], E)}} || {Name, Code, E} <- Cases].

of_files(Cases) ->
    [{Name, Code, E#{of_files => true}} || {Name, Code, E} <- Cases].

%% At a level, with these layers left out.
expected(trusted, _, Expected) ->
    maps:get(trusted, Expected, none);
expected(strict, Without, Expected) ->
    Other = [E || is_map_key(of_counts, Expected), E <- without(Without, Expected)],
    others(Other, maps:get(strict, Expected, maps:get(locked, Expected, none)));
expected(default, Without, Expected) ->
    Open = [landlock, namespaces] -- Without =:= [],
    case lists:member(seccomp, Without) of
        true -> maps:get(no_seccomp, Expected, none);
        false when Open, is_map_key(of_files, Expected) -> none;
        false -> others(without(Without, Expected),
                        maps:get(default, Expected, maps:get(locked, Expected, none)))
    end.

without(Without, Expected) ->
    [E || Layer <- Without, {no, L, E} <- left_out(Expected), L =:= Layer].

others([], Usual) -> Usual;
others([One], _) -> One;
others(Some, _) -> {any, Some}.

left_out(Expected) ->
    [{no, Layer, E} || {Key, Layer} <- [{no_landlock, landlock}, {no_namespaces, namespaces},
                                        {no_own_uid, own_uid}],
                       {ok, E} <- [maps:find(Key, Expected)]].

-define(CAP_SETUID, 7).
-define(CAP_SYS_PTRACE, 19).
-define(CAP_SYS_RESOURCE, 24).

%% What the cases need; `raw' makes a system call by its number on x86-64.
prelude() ->
    "import ctypes, errno, mmap, os, re, resource, signal, socket, subprocess, sys, threading\n"
    "import time, json, gc, marshal\n"
    "def raw(nr, *args):\n"
    "    libc = ctypes.CDLL(None, use_errno=True)\n"
    "    r = libc.syscall(nr, *[ctypes.c_long(x) for x in args])\n"
    "    return r if r >= 0 else -ctypes.get_errno()\n"
    "def mapped(size, prot, flags):\n"
    "    libc = ctypes.CDLL(None)\n"
    "    libc.mmap.restype = ctypes.c_ssize_t\n"
    "    at = libc.mmap(None, ctypes.c_size_t(size), prot, flags, -1, ctypes.c_long(0))\n"
    "    return at if at != -1 else None\n".

-define(NO_FILE, {raises, ["PermissionError", "FileNotFoundError"]}).
-define(REFUSED, {raises, ["PermissionError"]}).
-define(NOBODY, {raises, ["PermissionError", "ProcessLookupError"]}).
-define(NO_MEMORY, {raises, ["MemoryError"]}).
-define(NO_WRITE, {raises, ["PermissionError", "FileNotFoundError", "OSError"]}).

files() ->
    [{open_passwd, "return open('/etc/passwd').read(1) != ''",
      #{trusted => {value, true}, locked => ?NO_FILE}},
     {open_secret, "return open(SECRET).read()",
      #{trusted => {value, <<"secret">>}, locked => ?NO_FILE}},
     {open_by_a_way_around, "return open('/usr/lib/../../' + SECRET).read()",
      #{trusted => {value, <<"secret">>}, locked => ?NO_FILE}},
     {write_new, "open(FOLDER + '/new', 'w').write('x'); return 1",
      #{trusted => {value, 1}, locked => ?NO_WRITE}},
     {write_library, "open('/usr/lib/terrarium-test', 'w')", #{locked => ?NO_WRITE}},
     {truncate, "os.truncate(SECRET, 6); return 1",
      #{trusted => {value, 1}, locked => ?NO_WRITE}},
     {open_to_truncate, "os.open(SECRET, os.O_RDONLY | os.O_TRUNC)", #{locked => ?NO_WRITE}},
     {remove, "os.unlink(SECRET)", #{locked => ?NO_WRITE}},
     {symbolic_link, "os.symlink('/', FOLDER + '/sym')", #{locked => ?NO_WRITE}},
     {make_directory, "os.mkdir(FOLDER + '/dir')", #{locked => ?NO_WRITE}},
     {make_fifo, "os.mkfifo(FOLDER + '/fifo')", #{locked => ?NO_WRITE}},
     {nameless_file, "os.open(FOLDER, os.O_TMPFILE | os.O_RDWR)", #{locked => ?NO_WRITE}},
     {set_times, "os.utime(SECRET, (1, 1))", #{locked => ?NO_WRITE}},
     {set_attribute, "os.setxattr(SECRET, 'user.x', b'1')", #{locked => ?NO_WRITE}},
     {rename, "os.rename(SECRET, SECRET + '2')", #{locked => ?NO_WRITE}},
     {hard_link, "os.link(SECRET, FOLDER + '/link')", #{locked => ?NO_WRITE}},
     {make_setuid, "os.chmod(FOLDER, 0o4755)", #{locked => ?NO_WRITE}},
     {make_device, "os.mknod(FOLDER + '/node', 0o600 | 0o020000, os.makedev(1, 3))",
      #{locked => ?NO_WRITE}},
     {change_owner, "os.chown(SECRET, 0, 0)", #{locked => ?NO_WRITE}}].

looks() ->
    [{list_root, "return len(os.listdir('/')) > 0",
      #{trusted => {value, true}, locked => ?NO_FILE, no_landlock => {value, true}}},
     {list_folder, "return os.listdir(FOLDER) != []",
      #{trusted => {value, true}, locked => ?NO_FILE}},
     {look_at_a_file, "return os.stat(SECRET).st_size",
      %% Landlock does not refuse it.
      #{trusted => {value, 6}, locked => ?NO_FILE,
        no_namespaces => {any, [{value, 6}, ?NO_FILE]}}},
     {open_by_the_root_of_proc, "return open('/proc/self/root' + SECRET).read()",
      #{trusted => {value, <<"secret">>}, locked => ?NO_FILE}},
     {own_maps, "return open('/proc/self/maps').read(1) != ''",
      #{trusted => {value, true}, locked => ?NO_FILE}},
     {own_descriptors, "return len(os.listdir('/proc/self/fd')) > 0",
      #{trusted => {value, true}, locked => ?NO_FILE}},
     {memory_device, "open('/dev/mem', 'rb')", #{locked => ?NO_FILE}},
     {kernel_log, "open('/dev/kmsg', 'rb')", #{locked => ?NO_FILE}},
     {settings_of_the_kernel, "return open('/proc/sys/kernel/osrelease').read() != ''",
      #{trusted => {value, true}, locked => ?NO_FILE}},
     {environ_of_zygote, "return open('/proc/%d/environ' % os.getppid(), 'rb').read() != b''",
      #{trusted => {value, true}, locked => ?NO_FILE}},
     {memory_of_bystander, "return open('/proc/%d/mem' % BYSTANDER, 'rb') and 1",
      %% It is undumpable.
      #{trusted => case capable(?CAP_SYS_PTRACE) of
                       true -> {value, 1};
                       false -> {raises, ["PermissionError"]}
                   end,
        locked => ?NO_FILE}},
     {own_memory, "return open('/proc/self/mem', 'rb') and 1",
      #{trusted => {value, 1}, locked => ?NO_FILE}},
     {environment, "return os.environ.get('TERRARIUM_TEST_SECRET')",
      #{trusted => {value, <<"hidden">>}, locked => {value, none}}},
     {c_environment,
      "libc = ctypes.CDLL(None)\n"
      "libc.getenv.restype = ctypes.c_char_p\n"
      "return libc.getenv(b'TERRARIUM_TEST_SECRET')",
      #{trusted => {value, <<"hidden">>}, locked => {value, none}}}].

children() ->
    [{fork, "p = os.fork()\nif p == 0: os._exit(0)\nreturn os.waitpid(p, 0)[1]",
      #{trusted => {value, 0}, locked => ?REFUSED}},
     {fork_bomb,
      "n = 0\n"
      "for _ in range(200):\n"
      "    try:\n        p = os.fork()\n        n += 1\n    except OSError:\n        continue\n"
      "    if p == 0: os._exit(0)\n    os.waitpid(p, 0)\n"
      "return n",
      #{trusted => {value, 200}, locked => {value, 0}}},
     {run_program, "return subprocess.run(['/bin/true']).returncode",
      #{trusted => {value, 0}, locked => ?NO_FILE}},
     {spawn_program, "return os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)[1]",
      #{trusted => {value, 0}, locked => ?NO_FILE}},
     {pipe_from_program, "return os.popen('true').read()",
      #{trusted => {value, <<>>}, locked => ?REFUSED}},
     {shell, "return os.system('true')", #{trusted => {value, 0}, locked => {value, 32512}}},
     {shell_by_c, "return ctypes.CDLL(None).system(b'true')",
      #{trusted => {value, 0}, locked => {value, 32512}}},
     {shell_by_classes,
      "for c in object.__subclasses__():\n"
      "    f = getattr(c.__init__, '__globals__', {}).get('system')\n"
      "    if f: return f('true')\n"
      "return sys.modules['os'].system('true')",
      #{trusted => {value, 0}, locked => {value, 32512}}},
     {execute, "os.execv('/bin/true', ['true'])", #{locked => ?NO_FILE}},
     {clone3, "return raw(435, 0, 0)",
      #{trusted => {value, -22}, locked => {value, -38}}},
     {clone_by_number, "return raw(56, 17, 0, 0, 0, 0)", #{locked => {value, -1}}},
     {vfork_by_number, "return raw(58)", #{locked => {value, -1}}},
     {execveat, "return raw(322, -1, 0, 0, 0, 0)",
      #{trusted => {value, -14}, locked => {value, -1}}}].

threads() ->
    [{one_thread,
      "r = []\nt = threading.Thread(target=r.append, args=(1,))\nt.start(); t.join()\nreturn r[0]",
      #{trusted => {value, 1}, default => {value, 1}, strict => {raises, ["RuntimeError"]}}},
     {thread_bomb,
      "e = threading.Event(); n = 0\n"
      "try:\n"
      "    for _ in range(100):\n"
      "        threading.Thread(target=e.wait, daemon=True).start(); n += 1\n"
      "except RuntimeError: pass\n"
      "e.set()\nreturn n",
      #{trusted => {value, 100}, default => {most, 16}, strict => {value, 0},
        no_own_uid => threads(not capable(?CAP_SETUID)), no_seccomp => {most, 16},
        no_namespaces => threads(capable(?CAP_SETUID))}},
     {execute_nothing, "os.execv('/no/such/program', ['x'])", #{locked => ?NO_FILE}}].

%% They are counted where the process has a user, or if the VM is not root a user
%% namespace, of its own; elsewhere it is stacks of 8 MiB that do not fit into `memory'.
threads(true) -> {most, 16};
threads(false) -> {most, 64}.

%% They are counted by the same.
signals(true) -> {most, 64};
signals(false) -> survives.

%% Has the VM this capability?
capable(Bit) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Hex]} = re:run(Status, "CapEff:\\s+([0-9a-f]+)", [{capture, all_but_first, binary}]),
    binary_to_integer(Hex, 16) band (1 bsl Bit) =/= 0.

privileges() ->
    [{become_root, "os.setuid(0); return 1", #{locked => ?REFUSED, no_seccomp => ?REFUSED}},
     {become_root_for_good, "os.setresuid(0, 0, 0); return 1",
      #{locked => ?REFUSED, no_seccomp => ?REFUSED}},
     {leave_session, "os.setsid()", #{locked => ?REFUSED}},
     {capabilities, "return raw(126, 0, 0)", #{locked => {value, -1}}},
     {undo_death_signal, "return raw(157, 1, 0)",
      #{trusted => {value, 0}, default => {value, -38}, strict => {value, -1}}},
     {be_dumpable, "return raw(157, 4, 1)", #{default => {value, -38}, strict => {value, -1}}},
     {change_its_memory_map, "return raw(157, 35, 1, 0, 0, 0)",
      #{trusted => {value, case capable(?CAP_SYS_RESOURCE) of true -> -22; false -> -1 end},
        default => {value, -38}, strict => {value, -1}}},
     {other_settings_of_a_process, %% KEEPCAPS, SECCOMP, SECUREBITS, PTRACER, CAP_AMBIENT
      "return [raw(157, n, 0, 0, 0, 0) for n in (8, 22, 28, 0x59616d61, 47)]",
      #{default => {value, [-38, -38, -38, -38, -38]}, strict => {value, [-1, -1, -1, -1, -1]}}},
     {priority, "os.setpriority(os.PRIO_PROCESS, 0, -5)", #{locked => ?REFUSED}},
     {processors, "os.sched_setaffinity(0, [0])", #{locked => ?REFUSED}},
     {limit_of_the_vm, "return raw(302, VM, 4, 0, 0)",
      #{trusted => {value, 0}, default => {value, -38}, strict => {value, -1}}},
     {raise_limit,
      "try:\n    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))\n"
      "except (ValueError, OSError): return 'refused'\nreturn 'raised'",
      #{locked => {value, <<"refused">>}, no_seccomp => {value, <<"refused">>}}}].

signals() ->
    [{signal_zygote, "os.kill(os.getppid(), 0); return 1",
      #{trusted => {value, 1}, locked => ?REFUSED}},
     {signal_vm, "os.kill(VM, 0); return 1",
      #{trusted => {value, 1}, locked => ?REFUSED, no_seccomp => ?NOBODY}},
     {signal_bystander, "os.kill(BYSTANDER, 0); return 1",
      #{trusted => {value, 1}, locked => ?REFUSED, no_seccomp => ?NOBODY}},
     {signal_all, "os.kill(-1, 0)", #{locked => ?REFUSED}},
     {signal_group, "os.kill(0, 0)", #{locked => ?REFUSED}},
     {kill_zygote, "os.kill(os.getppid(), 9)", #{locked => ?REFUSED}},
     {kill_the_first, "os.kill(1, 9)", #{locked => ?REFUSED}},
     {kill_all, "os.kill(-1, 9)", #{locked => ?REFUSED}},
     {signal_itself, "os.kill(os.getpid(), 0); return 1", #{locked => {value, 1}}},
     {tgkill, "return raw(234, VM, VM, 0)", #{trusted => {value, 0}, locked => {value, -1}}},
     {tkill, "return raw(200, VM, 0)", #{trusted => {value, 0}, locked => {value, -1}}},
     {queue_signal, "return raw(129, VM, 0, 0)", #{locked => {value, -1}}},
     {queue_signal_to_a_thread, "return raw(297, VM, VM, 0, 0)", #{locked => {value, -1}}},
     {signal_by_descriptor, "return raw(424, -1, 0, 0, 0)",
      #{trusted => {value, -9}, locked => {value, -1}}},
     {many_signals,
      "signal.pthread_sigmask(signal.SIG_BLOCK, [50])\n"
      "info = ctypes.create_string_buffer(128)\n"
      "info[8:12] = b'\\xff' * 4\n" %% SI_QUEUE
      "here, n = threading.get_native_id(), 0\n"
      "while n < 1000 and raw(297, os.getpid(), here, 50, ctypes.addressof(info)) == 0: n += 1\n"
      "while signal.sigtimedwait([50], 0): pass\n"
      "signal.pthread_sigmask(signal.SIG_UNBLOCK, [50])\n"
      "return n",
      #{trusted => {value, 1000}, locked => {most, 64}, no_seccomp => {most, 64},
        of_counts => true, no_own_uid => signals(not capable(?CAP_SETUID)),
        no_namespaces => signals(capable(?CAP_SETUID))}},
     {open_process, "return raw(434, VM, 0) > 0",
      #{trusted => {value, true}, locked => {value, false}}}].

%% About itself, or about whom a number names.
questions() ->
    [{ask_about_others, %% affinity, parameters, scheduler, time slice, group, session, priority
      "room = ctypes.create_string_buffer(128)\n"
      "at = ctypes.addressof(room)\n"
      "return [raw(nr, VM, *a) < 0 for nr, *a in ((204, 128, at), (143, at), (145,), (148, at),\n"
      "                                           (121,), (124,))] + [raw(140, 0, VM) < 0]",
      #{trusted => {value, lists:duplicate(7, false)},
        locked => {value, lists:duplicate(7, true)}}},
     {ask_about_itself,
      "here = threading.get_native_id()\n"
      "room = ctypes.create_string_buffer(128)\n"
      "at = ctypes.addressof(room)\n"
      "return [raw(204, 0, 128, at) > 0, raw(204, os.getpid(), 128, at) > 0, os.getpgid(0) > 0,\n"
      "        os.getpriority(0, 0) >= -20,\n"
      "        time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) >= 0,\n"
      "        raw(228, (~here << 3) | 6, at)]",
      #{trusted => {value, [true, true, true, true, true, 0]},
        locked => {value, [true, true, true, true, true, 0]}}},
     {work_of_others, %% processor time and the like, by the number of the process
      "room = ctypes.create_string_buffer(128)\n"
      "at = ctypes.addressof(room)\n"
      "return [raw(nr, (~VM << 3) | 2, at) for nr in (228, 229)]",
      #{trusted => {value, [0, 0]}, default => {value, [-38, -38]}, strict => {value, [-1, -1]}}},
     {locks_of_others, "room = ctypes.create_string_buffer(16)\n"
      "at = ctypes.addressof(room)\n"
      "return raw(274, VM, at, at + 8)", #{locked => {value, -1}}},
     {lend_priority, %% futex(2): FUTEX_LOCK_PI and what belongs to it
      "word = ctypes.c_uint32(VM)\n"
      "return [raw(202, ctypes.addressof(word), op | 128, 0, 0, 0, 0)\n"
      "        for op in (6, 8, 11, 12, 13)]",
      #{default => {value, lists:duplicate(5, -38)}, strict => {value, lists:duplicate(5, -1)}}},
     {process_behind_a_socket, %% SO_PEERPIDFD
      "a, b = socket.socketpair()\n"
      "room = ctypes.create_string_buffer(b'\\4\\0\\0\\0', 8)\n"
      "at = ctypes.addressof(room)\n"
      "return [raw(55, a.fileno(), level, option, at + 4, at) for level, option in\n"
      "        ((1, 77), (1 | 1 << 32, 77 | 1 << 32), (1, 3))]",
      #{default => {value, [-38, -38, 0]}, strict => {value, [-1, -1, 0]}}}].

%% Only an exploit makes these calls; by their numbers on x86-64, with arguments that
%% do no harm.
calls() ->
    [{ptrace, 101}, {process_vm_readv, 310}, {process_vm_writev, 311}, {process_madvise, 440},
     {bpf, 321}, {perf_event_open, 298}, {userfaultfd, 323}, {io_uring_setup, 425},
     {io_uring_enter, 426}, {keyctl, 250}, {add_key, 248}, {request_key, 249}, {unshare, 272},
     {setns, 308}, {mount, 165}, {umount2, 166}, {move_mount, 429}, {fsopen, 430},
     {pivot_root, 155}, {chroot, 161}, {pidfd_getfd, 438}, {open_by_handle_at, 304},
     {name_to_handle_at, 303}, {seccomp, 317}, {kcmp, 312}, {personality, 135},
     {modify_ldt, 154}, {kexec_load, 246}, {init_module, 175}, {finit_module, 313},
     {delete_module, 176}, {syslog, 103}, {swapon, 167}, {reboot, 169}, {iopl, 172},
     {ioperm, 173}, {quotactl, 179}, {clock_settime, 227}, {settimeofday, 164},
     {adjtimex, 159}, {fanotify_init, 300}, {landlock_create_ruleset, 444},
     {landlock_restrict_self, 446}, {landlock_add_rule, 445}, {process_mrelease, 448},
     {io_uring_register, 427}, {open_tree, 428}, {fsmount, 432}, {fsconfig, 431}, {fspick, 433},
     {mount_setattr, 442}, {sethostname, 170}, {setdomainname, 171}, {kexec_file_load, 320},
     {swapoff, 168}, {acct, 163}, {lookup_dcookie, 212}, {fanotify_mark, 301},
     {clock_adjtime, 305}, {vhangup, 153}].

%% What comes before a forbidden call, and the name that is heard all the same.
stubborn() ->
    [{"refused(signal.signal, signal.SIGSYS, handler)", <<"ptrace">>},
     {"refused(signal.signal, signal.SIGSYS, signal.SIG_IGN)", <<"ptrace">>},
     {"refused(signal.signal, signal.SIGSYS, signal.SIG_DFL)", <<"ptrace">>},
     {"refused(signal.siginterrupt, signal.SIGSYS, True)", <<"ptrace">>},
     {"libc.signal.restype = ctypes.c_ssize_t\n"
      "assert libc.signal(31, ctypes.c_void_p(1)) == -1", <<"ptrace">>},
     {"act = ctypes.create_string_buffer(64)\n"
      "for sig in (31, 31 | 1 << 40, 31 | 1 << 63):\n"
      "    assert raw(13, sig, ctypes.addressof(act), 0, 8) == -1", <<"ptrace">>},
     {"stack = ctypes.create_string_buffer(24)\n"
      "stack[8] = 2\n"
      "assert raw(131, ctypes.addressof(stack), 0) == 0", <<"ptrace">>},
     %% One that is blocked comes all the same, and the handler is not asked.
     {"signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))", unknown},
     {"os.kill(os.getpid(), signal.SIGSYS)", unknown}].

stubbornness() ->
    "libc = ctypes.CDLL(None)\n"
    "def handler(*_): os._exit(0)\n"
    "def refused(f, *args):\n"
    "    try: f(*args)\n"
    "    except OSError as e: assert e.errno == errno.EPERM\n"
    "    else: raise AssertionError(args)\n".

kernel() ->
    [{violation_in_a_thread, in_a_thread("lambda: raw(101, 0, 0, 0, 0)"),
      #{trusted => {value, 1}, default => violation}},
     %% The numbers of x32: another architecture to the kernel.
     {x32, "return raw(0x40000000 + 39)", #{locked => violation}},
     {type_into_terminal, "return raw(16, 0, 0x5412, 0)",
      #{default => {value, -38}, strict => {value, -1}}},
     {type_into_terminal_high_bits, "return raw(16, 0, 0x5412 | 1 << 40, 0)",
      #{default => {value, -38}, strict => {value, -1}}},
     {terminal_console, "return raw(16, 0, 0x541c, 0)",
      #{default => {value, -38}, strict => {value, -1}}},
     {openat2, "return raw(437, -1, 0, 0, 0)",
      #{trusted => {value, -22}, default => {value, -38}, strict => {value, -1}}},
     {number_without_a_call, "return raw(9999, 0)",
      #{trusted => {value, -38}, default => {value, -38}, strict => {value, -1}}},
     {newer_calls, "return [raw(nr, -1, 0, 0, 0, 0) for nr in (443, 450)]",
      #{default => {value, [-38, -38]}, strict => {value, [-1, -1]}}},
     {memory_policy, "return raw(237, 0, 0, 0, 0, 0, 0)",
      #{trusted => {value, 0}, locked => {value, -1}}}].

network() ->
    [{socket(Family), "socket.socket(" ++ Family ++ ").close(); return 1",
      #{trusted => Trusted, locked => ?REFUSED}}
     || {Family, Trusted} <- [{"socket.AF_INET", {value, 1}}, {"socket.AF_UNIX", {value, 1}},
                              {"socket.AF_INET, socket.SOCK_DGRAM", {value, 1}},
                              {"socket.AF_INET6, socket.SOCK_STREAM", survives},
                              {"socket.AF_INET, socket.SOCK_STREAM, 262", survives}, % MPTCP
                              {"socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP", survives},
                              {"socket.AF_NETLINK, socket.SOCK_RAW", survives},
                              {"socket.AF_PACKET, socket.SOCK_RAW", survives},
                              {"40, socket.SOCK_STREAM", survives}, % AF_VSOCK
                              {"38, socket.SOCK_SEQPACKET", survives}]] ++ % AF_ALG
    [{datagram_pair, "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); return 1",
      #{trusted => {value, 1}, locked => ?REFUSED}},
     {stream_pair, "a, b = socket.socketpair(); a.send(b'x'); return b.recv(1)",
      #{trusted => {value, <<"x">>}, locked => {value, <<"x">>}}},
     {fast_open, "a, b = socket.socketpair()\nreturn raw(44, a.fileno(), 0, 0, 0x20000000, 0, 0)",
      #{locked => {value, -1}}},
     {out_of_band,
      "a, b = socket.socketpair()\n"
      "return [raw(44, a.fileno(), 0, 0, 1, 0, 0), raw(45, b.fileno(), 0, 0, 1, 0, 0),\n"
      "        raw(46, a.fileno(), 0, 1), raw(47, b.fileno(), 0, 1)]",
      #{locked => {value, [-1, -1, -1, -1]}}},
     {fast_open_by_message,
      "a, b = socket.socketpair()\n"
      "return [raw(nr, a.fileno(), 0, 0x20000000, 0x20000000) for nr in (46, 307)]",
      #{locked => {value, [-1, -1]}}}].

connections() ->
    [{listen, "socket.create_server(('127.0.0.1', 0)).close(); return 1",
      #{trusted => {value, 1}, locked => ?REFUSED}},
     {connect, "socket.create_connection(('127.0.0.1', 9), 5)",
      #{locked => {raises, ["PermissionError", "LookupError"]}}},
     {look_up_a_name, "socket.getaddrinfo('no-such-name.example', 80)",
      #{locked => {raises, ["gaierror", "socket.gaierror", "PermissionError", "LookupError"]}}},
     {list_interfaces, "return len(socket.if_nameindex())",
      #{trusted => {least, 1}, locked => ?REFUSED}},
     {system_v_queue, "return raw(68, 0, 0o1600) >= 0 and 1", #{locked => {value, false}}},
     {system_v_semaphore, "return raw(64, 0, 1, 0o1600) >= 0 and 1",
      #{locked => {value, false}}},
     {lock_a_file_of_all, "return raw(73, 0, 1)",
      #{trusted => {value, 0}, locked => {value, -1}}},
     {lock_a_part_of_a_file, "return [raw(72, 0, what, 0) for what in (5, 6, 7)]",
      #{trusted => {value, [-14, -14, -14]}, default => {value, [-38, -38, -38]},
        strict => {value, [-1, -1, -1]}}},
     {system_v_memory, "return raw(29, 0, 4096, 0o1600) >= 0",
      #{trusted => {value, true}, locked => {value, false}}},
     {message_queue, "return raw(240, 0, 0, 0, 0)",
      #{trusted => {value, -14}, locked => {value, -1}}},
     {anonymous_file, "os.close(os.memfd_create('x')); return 1",
      #{trusted => {value, 1}, locked => ?REFUSED}}].

socket(Family) ->
    list_to_atom("socket " ++ Family).

%% Names in /dev/shm.
shared_files() ->
    [{shared_memory_by_name,
      "import _posixshmem\n"
      "fd = _posixshmem.shm_open('/terrarium-test', os.O_CREAT | os.O_RDWR, mode=0o600)\n"
      "os.close(fd); _posixshmem.shm_unlink('/terrarium-test')\n"
      "return 1", #{trusted => {value, 1}, locked => ?NO_FILE}},
     {shared_memory_of_multiprocessing,
      "from multiprocessing.shared_memory import SharedMemory\n"
      "SharedMemory(create=True, size=4096)", #{default => ?NO_FILE}}].

memory() ->
    [{one_large_block, "return len(bytearray(1 << 30))",
      #{trusted => {value, 1 bsl 30}, locked => ?NO_MEMORY, no_seccomp => ?NO_MEMORY}},
     {many_blocks, "x = []\nwhile True: x.append(bytearray(16 << 20))",
      #{locked => ?NO_MEMORY, no_seccomp => ?NO_MEMORY}},
     {pages_that_grow_down, %% no data for RLIMIT_DATA, but refused
      "return mapped(1 << 30, 3, 0x122) is not None",
      #{trusted => {value, true}, locked => {value, false}}},
     {pages_made_read_only, %% data no more, but address space
      "for i in range(32):\n"
      "    p = mapped(64 << 20, 3, 0x22)\n"
      "    if p is None: return 'refused'\n"
      "    ctypes.memset(p, 1, 4096)\n"
      "    ctypes.CDLL(None).mprotect(ctypes.c_void_p(p), ctypes.c_size_t(64 << 20), 1)\n"
      "return 'mapped'",
      #{trusted => {value, <<"mapped">>}, locked => {value, <<"refused">>}}},
     {tables_of_pages, %% each costs the kernel 2 GiB of page tables
      "return mapped(1 << 40, 1, 0x4022) is not None",
      #{trusted => {value, true}, locked => {value, false}}},
     {shared_memory, "return len(mmap.mmap(-1, 1 << 20))",
      #{trusted => {value, 1 bsl 20}, locked => ?REFUSED}},
     {writable_code,
      "try:\n    mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7); return 'mapped'\n"
      "except OSError: return 'refused'",
      #{trusted => {value, <<"mapped">>}, locked => {value, <<"refused">>}}}].

bombs() ->
    [{descriptor_bomb,
      "n = []\n"
      "try:\n    while len(n) < 500: n.append(os.dup(0))\nexcept OSError: pass\n"
      "for fd in n: os.close(fd)\nreturn len(n)",
      #{trusted => {least, 100}, locked => {most, 64}}},
     {address_space, "return mapped(1 << 46, 0, 0x4022) is not None",
      #{trusted => {value, true}, locked => {value, false}, no_seccomp => {value, false}}},
     {many_references, "return len([None] * (1 << 40))",
      #{locked => ?NO_MEMORY, no_seccomp => ?NO_MEMORY}},
     {doubling, "x = 'x'\nwhile True: x += x",
      #{locked => {raises, ["MemoryError", "OverflowError"]},
        no_seccomp => {raises, ["MemoryError", "OverflowError"]}}},
     {pipe_bomb,
      "n = []\n"
      "try:\n"
      "    while len(n) < 500:\n"
      "        n += os.pipe()\n"
      "        os.set_blocking(n[-1], False)\n"
      "        os.write(n[-1], bytes(1 << 20))\n"
      "except OSError: pass\n"
      "for fd in n: os.close(fd)\nreturn len(n)",
      #{locked => {most, 64}, no_seccomp => {most, 64}}}].

answers() ->
    [{large_answer, "return bytes(20 << 20)",
      #{trusted => {size, 20 bsl 20}, locked => {any, [{raises, ["EncodeError", "OverflowError"]},
                                                       {limit, [frame_bytes]}]}}},
     {endless_answer, "x = []; x.append(x); return x",
      #{trusted => {raises, ["EncodeError"]}, locked => {raises, ["EncodeError"]}}},
     {long_number, "return str(10 ** 5000)", #{locked => {raises, ["ValueError"]}}},
     {deep_recursion,
      "before = sys.getrecursionlimit()\nsys.setrecursionlimit(10**9)\n"
      "def f(): return f()\n"
      "try: return f()\nfinally: sys.setrecursionlimit(before)",
      #{locked => {any, [{crashed, [sigsegv]}, {limit, [memory]},
                       {raises, ["MemoryError", "RecursionError", "SystemError"]}]}}},
     {deep_syntax, "eval('(' * 10**5)", #{locked => survives}},
     {deep_json, "json.loads('[' * 10**6)", #{locked => {raises, ["RecursionError"]}}},
     {bad_marshal, "marshal.loads(b'\\xe9' + b'x' * 100)", #{locked => survives}}].

state() ->
    [{abort, "os.abort()", #{locked => {crashed, [sigabrt]}}},
     {null_pointer, "ctypes.string_at(0)", #{locked => {crashed, [sigsegv]}}},
     {abort_in_a_thread, in_a_thread("os.abort"),
      #{default => {crashed, [sigabrt]}}},
     {null_pointer_in_a_thread, in_a_thread("lambda: ctypes.string_at(0)"),
      #{default => {crashed, [sigsegv]}}},
     {foreign_memory, "ctypes.memset(id(None), 0xff, 16); return 1", #{locked => survives}},
     {exit_at_once, "os._exit(3)", #{trusted => {crashed, [3]}, locked => {crashed, [3]}}},
     {exit_as_if_not_locked, "os._exit(77)", #{locked => {crashed, [77]}}},
     {exit_softly, "sys.exit(3)", #{locked => {raises, ["SystemExit"]}}},
     {clear_everything,
      "for o in gc.get_objects():\n"
      "    try: o.clear()\n    except Exception: pass\nreturn 1",
      #{locked => survives}},
     {clear_modules, "sys.modules.clear(); return 1", #{locked => survives}},
     {clear_builtins, "__builtins__.clear() if isinstance(__builtins__, dict) else "
      "vars(__builtins__).clear(); return 1", #{locked => survives}},
     {break_our_modules,
      "for name in [n for n in sys.modules if n.startswith(('erlang', '_erlang'))]:\n"
      "    for k in list(vars(sys.modules[name])): vars(sys.modules[name])[k] = None\n"
      "return 1", #{locked => survives}},
     {trace_us, "sys.settrace(lambda *a: 1 / 0); sys.setprofile(lambda *a: 1 / 0); return 1",
      #{locked => survives}},
     {audit_us, "def no(*a): raise OSError\nsys.addaudithook(no); return 1",
      #{locked => survives}},
     {exception_without_text,
      "class E(Exception):\n    def __str__(self): raise E\n    __repr__ = __str__\nraise E",
      #{trusted => {raises, ["E"]}, locked => {raises, ["E"]}}},
     {exception_with_an_odd_name, "raise type('A\\x1b[2J\\n\\ud800', (Exception,), {})()",
      #{locked => survives}},
     {long_exception, "raise ValueError('x' * (1 << 25))", #{locked => {raises, ["ValueError"]}}},
     {no_standard_output, "sys.stdout = sys.stderr = None; print('x'); return 1",
      #{locked => {value, 1}}},
     {close_everything, "os.closerange(0, 100); return 1", #{locked => survives}},
     {write_to_everything,
      "for fd in range(3, 40):\n"
      "    try: os.write(fd, b'\\xff' * 64)\n    except OSError: pass\nreturn 1",
      #{locked => survives}},
     {move_descriptors, "os.dup2(1, 3); os.dup2(1, 4); return 1", #{locked => survives}}].

loops() ->
    [{loop, "while True: pass", #{trusted => timeout, locked => timeout}},
     {stubborn_loop,
      "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
      #{locked => timeout}},
     {deaf_to_interrupts, "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
      #{locked => timeout}},
     {block_all_signals,
      "signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 65))\nwhile True: pass",
      #{locked => timeout}},
     {stop_itself, "os.kill(os.getpid(), signal.SIGSTOP); return 1", #{locked => timeout}},
     {threads_that_spin,
      "def f():\n    while True: pass\n"
      "t = [threading.Thread(target=f, daemon=True) for _ in range(3)]\n"
      "for x in t: x.start()\nt[0].join()",
      #{default => timeout, strict => {raises, ["RuntimeError"]}}},
     {sleep, "time.sleep(60)", #{trusted => timeout, locked => timeout}},
     {large_power, "return 10 ** (10 ** 8) > 0", #{locked => timeout}},
     {slow_pattern, "re.match(r'(a+)+$', 'a' * 40 + 'b')", #{locked => timeout}},
     {deadlock, "l = threading.Lock(); l.acquire(); l.acquire()", #{locked => timeout}}].

%% A thread may find those of a case before still ending, and they count.
in_a_thread(Function) ->
    "for attempt in range(200):\n"
    "    t = threading.Thread(target=" ++ Function ++ ")\n"
    "    try: t.start()\n"
    "    except RuntimeError:\n"
    "        if attempt == 199: raise\n"
    "        time.sleep(0.02)\n"
    "    else: break\n"
    "t.join(); return 1".
