%% SPDX-License-Identifier: Apache-2.0
%% @doc What code in a sandbox tries, and what comes of it at each level.
%%
%% A case is `{Name, Code, #{Level => Expected}}'; the code is the body of a
%% function.  `locked' stands for both `default' and `strict'.  Where it does no harm
%% the case says what the same code does when nothing is locked (`trusted'): so it is
%% known to try something.  Where a layer is left out (`no_landlock', ...) it is as at
%% `default' unless the case says otherwise; but of `no_seccomp', which is tried with
%% the cases in which other layers hold as well.  Expected is
%%   {value, V}, {most, N}, {least, N}   what the function returns
%%   {raises, [Type]}                    it raises one of these, the context lives
%%   violation                           the process is killed for it
%%   {crashed, [Signal | Status]}        it ends otherwise
%%   timeout                             it is interrupted or killed when its time is up
%%   survives                            whatever comes of it, the context goes on
-module(py_sandbox_cases).

-export([all/0, names/0, expected/2, prelude/0, calls/0, stubborn/0, stubbornness/0]).

names() ->
    [Name || {Name, _, _} <- all()].

all() ->
    without_seccomp(files() ++ state() ++ loops()) ++ children() ++ privileges() ++ signals() ++
        kernel() ++ network() ++ memory().

without_seccomp(Cases) ->
    [{Name, Code, E#{no_seccomp => expected(default, E)}} || {Name, Code, E} <- Cases].

expected(trusted, Expected) ->
    maps:get(trusted, Expected, none);
expected(strict, Expected) ->
    maps:get(strict, Expected, maps:get(locked, Expected, none));
expected(no_seccomp, Expected) ->
    maps:get(no_seccomp, Expected, none);
expected(Group, Expected) ->
    Default = maps:get(default, Expected, maps:get(locked, Expected, none)),
    maps:get(Group, Expected, Default).

-define(CAP_SETUID, 7).
-define(CAP_SYS_PTRACE, 19).

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
     {rename, "os.rename(SECRET, SECRET + '2')", #{locked => ?NO_WRITE}},
     {hard_link, "os.link(SECRET, FOLDER + '/link')", #{locked => ?NO_WRITE}},
     {make_setuid, "os.chmod(FOLDER, 0o4755)", #{locked => ?NO_WRITE}},
     {make_device, "os.mknod(FOLDER + '/node', 0o600 | 0o020000, os.makedev(1, 3))",
      #{locked => ?NO_WRITE}},
     {change_owner, "os.chown(SECRET, 0, 0)", #{locked => ?NO_WRITE}},
     {list_root, "return len(os.listdir('/')) > 0",
      #{trusted => {value, true}, locked => ?NO_FILE, no_landlock => {value, true}}},
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
     {one_thread,
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

%% Has the VM this capability?
capable(Bit) ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Hex]} = re:run(Status, "CapEff:\\s+([0-9a-f]+)", [{capture, all_but_first, binary}]),
    binary_to_integer(Hex, 16) band (1 bsl Bit) =/= 0.

privileges() ->
    [{become_root, "os.setuid(0); return 1", #{locked => ?REFUSED, no_seccomp => ?REFUSED}},
     {leave_session, "os.setsid()", #{locked => ?REFUSED}},
     {capabilities, "return raw(126, 0, 0)", #{locked => {value, -1}}},
     {undo_death_signal, "return raw(157, 1, 0)",
      #{trusted => {value, 0}, default => {value, -38}, strict => {value, -1}}},
     {be_dumpable, "return raw(157, 4, 1)", #{default => {value, -38}, strict => {value, -1}}},
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
     {signal_itself, "os.kill(os.getpid(), 0); return 1", #{locked => {value, 1}}},
     {tgkill, "return raw(234, VM, VM, 0)", #{trusted => {value, 0}, locked => {value, -1}}},
     {tkill, "return raw(200, VM, 0)", #{trusted => {value, 0}, locked => {value, -1}}},
     {queue_signal, "return raw(129, VM, 0, 0)", #{locked => {value, -1}}},
     {open_process, "return raw(434, VM, 0) > 0",
      #{trusted => {value, true}, locked => {value, false}}}].

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
     {landlock_restrict_self, 446}].

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
    [{violation_in_a_thread,
      %% Threads of a case before may still be ending, and count.
      "for attempt in range(200):\n"
      "    t = threading.Thread(target=raw, args=(101, 0, 0, 0, 0))\n"
      "    try: t.start()\n"
      "    except RuntimeError: time.sleep(0.05)\n"
      "    else: break\n"
      "t.join(); return 1",
      #{trusted => {value, 1}, default => violation}},
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
     {memory_policy, "return raw(237, 0, 0, 0, 0, 0, 0)",
      #{trusted => {value, 0}, locked => {value, -1}}}].

network() ->
    [{socket(Family), "socket.socket(" ++ Family ++ ").close(); return 1",
      #{trusted => Trusted, locked => ?REFUSED}}
     || {Family, Trusted} <- [{"socket.AF_INET", {value, 1}}, {"socket.AF_UNIX", {value, 1}},
                              {"socket.AF_INET, socket.SOCK_DGRAM", {value, 1}},
                              {"socket.AF_INET6, socket.SOCK_STREAM", survives},
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
     {system_v_memory, "return raw(29, 0, 4096, 0o1600) >= 0",
      #{trusted => {value, true}, locked => {value, false}}},
     {message_queue, "return raw(240, 0, 0, 0, 0)",
      #{trusted => {value, -14}, locked => {value, -1}}},
     {anonymous_file, "os.close(os.memfd_create('x')); return 1",
      #{trusted => {value, 1}, locked => ?REFUSED}}].

socket(Family) ->
    list_to_atom("socket " ++ Family).

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
      #{trusted => {value, <<"mapped">>}, locked => {value, <<"refused">>}}},
     {descriptor_bomb,
      "n = []\n"
      "try:\n    while len(n) < 500: n.append(os.dup(0))\nexcept OSError: pass\n"
      "for fd in n: os.close(fd)\nreturn len(n)",
      #{trusted => {least, 100}, locked => {most, 64}}},
     {deep_recursion,
      "before = sys.getrecursionlimit()\nsys.setrecursionlimit(10**9)\n"
      "def f(): return f()\n"
      "try: return f()\nfinally: sys.setrecursionlimit(before)", #{locked => survives}},
     {deep_syntax, "eval('(' * 10**5)", #{locked => survives}},
     {deep_json, "json.loads('[' * 10**6)", #{locked => {raises, ["RecursionError"]}}},
     {bad_marshal, "marshal.loads(b'\\xe9' + b'x' * 100)", #{locked => survives}}].

state() ->
    [{abort, "os.abort()", #{locked => {crashed, [sigabrt]}}},
     {null_pointer, "ctypes.string_at(0)", #{locked => {crashed, [sigsegv]}}},
     {exit_at_once, "os._exit(3)", #{trusted => {crashed, [3]}, locked => {crashed, [3]}}},
     {exit_as_if_not_locked, "os._exit(77)", #{locked => {crashed, [77]}}},
     {exit_softly, "sys.exit(3)", #{locked => {raises, ["SystemExit"]}}},
     {clear_everything,
      "for o in gc.get_objects():\n"
      "    try: o.clear()\n    except Exception: pass\nreturn 1",
      #{locked => survives}},
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
     {sleep, "time.sleep(60)", #{trusted => timeout, locked => timeout}},
     {large_power, "return 10 ** (10 ** 8) > 0", #{locked => timeout}},
     {slow_pattern, "re.match(r'(a+)+$', 'a' * 40 + 'b')", #{locked => timeout}},
     {deadlock, "l = threading.Lock(); l.acquire(); l.acquire()", #{locked => timeout}}].
