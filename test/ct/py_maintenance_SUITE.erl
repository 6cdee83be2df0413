%% SPDX-License-Identifier: Apache-2.0
%% @doc Looking into contexts: where they stand, what memory they have; and having
%% them collect and reload.
-module(py_maintenance_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [memory_stats, gc, tracemalloc, reload, nothing_started, a_context_that_fails,
     where_it_stands, all_threads, blocked_beside_a_running_thread,
     in_c_without_gil_beside_a_running_thread, system_calls_go_on, asked_by_many,
     of_the_dead, stopped_process, not_in_the_output, pieces, a_forked_child_says_nothing,
     storm].

init_per_suite(Config) ->
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_testcase(_, _) ->
    py_ct:stop().

%%% Maintenance of the pool

memory_stats(_) ->
    {ok, #{rss := Rss, pss := Pss, private := _, traced_memory_current := 0,
           traced_memory_peak := 0, contexts := Each}} = py:memory_stats(),
    ?assertEqual(lists:sort(py_context_router:contexts()), lists:sort(maps:keys(Each))),
    [#{rss := A, gc_count := {_, _, _}, gc_threshold := {_, _, _}, gc_stats := [_ | _],
       threads := 1, modules := _, pid := _}, #{rss := B}] = maps:values(Each),
    ?assertEqual(Rss, A + B),
    ?assert(Pss > 0 andalso Pss =< Rss).

gc(_) ->
    {ok, _} = py:gc(),
    Code = "for i in range(1000):\n  a = []; a.append(a)\ndel a\n",
    ok = py:exec(py:context(1), ["import gc\ngc.disable()\n", Code]),
    {ok, N} = py:gc(),
    ?assert(N >= 1000),
    {ok, _} = py:gc(0),
    {error, {invalid, generation, 3}} = py:gc(3).

tracemalloc(_) ->
    ok = py:tracemalloc_start(5),
    ok = py:tracemalloc_start(),
    ok = py:exec(py:context(1), "kept = bytearray(5000000)"),
    {ok, #{traced_memory_current := Now, traced_memory_peak := Peak}} = py:memory_stats(),
    ?assert(Now >= 5000000 andalso Peak >= Now),
    ok = py:tracemalloc_stop(),
    {ok, #{traced_memory_current := 0}} = py:memory_stats(),
    {error, {invalid, frames, 0}} = py:tracemalloc_start(0).

reload(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    File = filename:join(Dir, "reloaded_mod.py"),
    ok = file:write_file(File, "def f(): return 1\n"),
    [A, B] = py_context_router:contexts(),
    ok = py:exec(A, ["import sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, '", Dir,
                     "')\nimport reloaded_mod\n"]),
    {ok, 1} = py:call(A, reloaded_mod, f, []),
    ok = file:write_file(File, "def f(): return 22\n"),
    ?assertEqual({ok, #{A => reloaded, B => not_loaded}}, py:reload(reloaded_mod)),
    {ok, 22} = py:call(A, reloaded_mod, f, []),
    ok = file:write_file(File, "def f(: oops\n"),
    {error, {failed, #{A := {"SyntaxError", _}}}} = py:reload("reloaded_mod"),
    {ok, 22} = py:call(A, reloaded_mod, f, []),
    {error, {invalid, module, 7}} = py:reload(7).

nothing_started(_) ->
    ok = py:stop_contexts(),
    {error, not_started} = py:memory_stats(),
    {error, not_started} = py:gc(),
    {error, not_started} = py:reload(json).

a_context_that_fails(_) ->
    [A, B] = py_context_router:contexts(),
    ok = py:exec(A, "import gc\ngc.get_stats = lambda *a: 1 / 0\ngc.collect = gc.get_stats\n"),
    {ok, #{contexts := #{A := {error, {"ZeroDivisionError", _}}, B := #{}}}} =
        py:memory_stats(),
    {error, {failed, #{A := {"ZeroDivisionError", _}} = Failed}} = py:gc(),
    ?assertEqual([A], maps:keys(Failed)).

%%% Backtraces

has(Text, Parts) ->
    [?assert(string:find(Text, Part) =/= nomatch, {Part, Text}) || Part <- Parts].

%% Begin a call, wait until it runs, and ask until the backtrace shows it.
standing(C, Function, Parts) ->
    Self = self(),
    Pid = spawn_link(fun() ->
                             Self ! {self(), py_context:call(C, '__main__', Function, [])}
                     end),
    py_ct:eventually(fun() ->
                             {ok, Text} = py:backtrace(C),
                             lists:all(fun(P) -> string:find(Text, P) =/= nomatch end, Parts)
                     end),
    Pid.

ends(Pid, Result) ->
    receive {Pid, R} -> ?assertEqual(Result, R) after 60000 -> ct:fail(no_answer) end.

where_it_stands(_) ->
    C = py:context(1),
    {ok, Idle} = py:backtrace(C),
    has(Idle, ["no Python frame"]),
    ok = py:exec(C, "import time, os, threading\n"
                    "stop = False\n"
                    "r, w = os.pipe()\n"
                    "def until(x): return time.monotonic() + x\n"
                    "def sleeps(): time.sleep(1); return 1\n"
                    "def spins():\n"
                    "  end = until(1)\n"
                    "  while time.monotonic() < end: pass\n"
                    "  return 2\n"
                    "def in_c(): return sum(range(40000000)) > 0\n"
                    "def reads(): os.read(r, 1); return 4\n"
                    "def locks():\n"
                    "  l = threading.Lock(); l.acquire(); return l.acquire(timeout=1)\n"),
    ends(standing(C, sleeps, ["in sleeps"]), {ok, 1}),
    ends(standing(C, spins, ["in spins"]), {ok, 2}),
    ends(standing(C, in_c, ["in in_c"]), {ok, true}),
    ends(standing(C, locks, ["in locks"]), {ok, false}),
    Reader = standing(C, reads, ["in reads"]),
    {ok, Text} = py:backtrace(C),
    has(Text, ["in reads", "most recent call first"]),
    %% Only from outside: the context is busy.
    Os = py_context:info(C),
    {ok, #{os_pid := OsPid}} = Os,
    {ok, File} = file:open(pipe_of(OsPid), [write, raw]),
    ok = file:write(File, "x"),
    ok = file:close(File),
    ends(Reader, {ok, 4}).

%% The last pipe that the helper has for writing.
pipe_of(OsPid) ->
    Dir = filename:join(["/proc", integer_to_list(OsPid), "fd"]),
    {ok, Names} = file:list_dir(Dir),
    Numbers = lists:sort([list_to_integer(N) || N <- Names]),
    Pipes = [P || N <- Numbers, P <- [filename:join(Dir, integer_to_list(N))],
                  {ok, "pipe:" ++ _} <- [file:read_link(P)], is_written(OsPid, N), N > 2],
    [Last | _] = lists:reverse([P || P <- Pipes, not is_stderr(OsPid, P)]),
    Last.

is_written(OsPid, N) ->
    Info = filename:join(["/proc", integer_to_list(OsPid), "fdinfo", integer_to_list(N)]),
    {ok, Text} = file:read_file(Info),
    {match, [Flags]} = re:run(Text, "flags:\\s+([0-7]+)", [{capture, [1], list}]),
    list_to_integer(Flags, 8) band 3 =:= 1.

is_stderr(OsPid, Path) ->
    {ok, Mine} = file:read_link(filename:join(["/proc", integer_to_list(OsPid), "fd", "2"])),
    {ok, Mine} =:= file:read_link(Path).

all_threads(_) ->
    C = py:context(1),
    ok = py:exec(C, "import threading\n"
                    "e = threading.Event()\n"
                    "def waits_here(): e.wait()\n"
                    "ts = [threading.Thread(target=waits_here) for _ in range(5)]\n"
                    "for t in ts: t.start()\n"),
    {ok, Text} = py:backtrace(C),
    ?assertEqual(6, length(string:split(Text, "in waits_here", all))),
    ok = py:exec(C, "e.set()\nfor t in ts: t.join()\n").

%% The main thread waits in a system call; another one runs.
blocked_beside_a_running_thread(_) ->
    C = py:context(1),
    ok = py:exec(C, "import threading, os, time\n"
                    "r, w = os.pipe()\n"
                    "def reads(): return os.read(r, 1)\n"
                    "def spins():\n"
                    "  end = time.monotonic() + 2\n"
                    "  while time.monotonic() < end: pass\n"
                    "  os.write(w, b'x')\n"
                    "def both():\n"
                    "  threading.Thread(target=spins).start()\n"
                    "  return reads()\n"),
    ends(standing(C, both, ["in reads", "in spins"]), {ok, <<"x">>}).

%% It does not come out: its own frames are told, and that they are not all.
in_c_without_gil_beside_a_running_thread(_) ->
    C = py:context(1),
    ok = py:exec(C, "import threading, time, hashlib\n"
                    "stop = False\n"
                    "def spins():\n"
                    "  while not stop: pass\n"
                    "def hashes():\n"
                    "  t = threading.Thread(target=spins); t.start()\n"
                    "  try: return len(hashlib.pbkdf2_hmac('sha256', b'', b'', 1500000))\n"
                    "  finally: globals().update(stop=True); t.join()\n"),
    ends(standing(C, hashes, ["in hashes", "not known"]), {ok, 32}).

%% A blocking read by C code is not disturbed, not even its result.
system_calls_go_on(_) ->
    C = py:context(1),
    ok = py:exec(C, "import ctypes, os, threading, time\n"
                    "libc = ctypes.CDLL(None, use_errno=True)\n"
                    "r, w = os.pipe()\n"
                    "def reads():\n"
                    "  b = ctypes.create_string_buffer(8)\n"
                    "  n = libc.read(r, b, 8)\n"
                    "  return n, ctypes.get_errno(), b.value\n"),
    Reader = standing(C, reads, ["in reads"]),
    [{ok, _} = py:backtrace(C) || _ <- lists:seq(1, 5)],
    {ok, #{os_pid := OsPid}} = py_context:info(C),
    {ok, File} = file:open(pipe_of(OsPid), [write, raw]),
    ok = file:write(File, "abc"),
    ok = file:close(File),
    ends(Reader, {ok, {3, 0, <<"abc">>}}).

asked_by_many(_) ->
    C = py:context(1),
    All = py_ct:parallel(20, fun(_) -> py:backtrace(C) end),
    [{ok, _} = R || R <- All].

of_the_dead(_) ->
    {ok, C} = py_context:new(#{}),
    ok = py_context:stop(C),
    {error, {context_died, _}} = py:backtrace(C),
    {error, {invalid, context, x}} = py:backtrace(x).

stopped_process(_) ->
    C = py:context(1),
    Os = integer_to_list(py_ct:helper_pid(C)),
    [] = os:cmd("kill -STOP " ++ Os),
    {error, timeout} = py:backtrace(C),
    [] = os:cmd("kill -CONT " ++ Os),
    {ok, 1} = py:eval(C, "1"),
    {ok, _} = py:backtrace(C).

%% Neither in what is logged nor in a crash report.
not_in_the_output(_) ->
    C = py:context(1),
    ok = py:exec(C, "import os\nos.write(2, b'before\\n')"),
    {ok, _} = py:backtrace(C),
    {error, {crashed, #{stderr := Stderr}}} =
        py:exec(C, "os.write(2, b'after\\n')\nos._exit(1)"),
    ?assertEqual(<<"before\nafter\n">>, Stderr).

%% The cutter alone, with the stream cut anywhere.
pieces(_) ->
    Piece = fun(Token, Last, Text) ->
                    <<0, "TBT", Token:64/little, Last, (byte_size(Text)):16/little, Text/binary>>
            end,
    Whole = <<"a", 0, "b\n", (Piece(1, 0, <<"x\0y">>))/binary, "c\n",
              (Piece(1, 1, <<"z">>))/binary, "d", 0, "TB">>,
    [begin
         {A, X, S1} = py_backtrace:feed(stderr, binary:part(Whole, 0, N), py_backtrace:new()),
         Rest = binary:part(Whole, N, byte_size(Whole) - N),
         {B, Y, S2} = py_backtrace:feed(stderr, Rest, S1),
         {C, 0, _} = py_backtrace:feed(stderr, <<"!">>, S2),
         ?assertEqual(15 + 3 + 15 + 1, X + Y), % what nobody has asked for counts
         ?assertEqual(<<"a", 0, "b\nc\nd", 0, "TB!">>, iolist_to_binary([A, B, C]))
     end || N <- lists:seq(0, byte_size(Whole))],
    ?assertEqual(<<"ab">>, py_backtrace:strip(<<"a", (Piece(7, 1, <<"t">>))/binary, "b">>)),
    Long = Piece(1, 0, binary:copy(<<"x">>, 4001)), % longer than any
    ?assertEqual(Long, py_backtrace:strip(Long)).

a_forked_child_says_nothing(_) ->
    C = py:context(1),
    ok = py:exec(C, "import os, signal, time\n"
                    "pid = os.fork()\n"
                    "if pid == 0:\n"
                    "  for _ in range(50): time.sleep(0.01)\n"
                    "  os._exit(5)\n"
                    "os.kill(pid, signal.SIGRTMIN + 4)\n"),
    {ok, 5} = py:eval(C, "os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])").

%% Requests of all kinds, threads, recursion, callbacks, timeouts; and backtraces all
%% the while.  Every answer is right, and nobody dies.
storm(_) ->
    ok = py:register_function(echo, fun([X]) -> X end),
    Contexts = py_context_router:contexts(),
    [ok = py:exec(C, "import erlang, threading, time, json\n"
                     "def deep(n): return 0 if n == 0 else 1 + deep(n - 1)\n"
                     "def mixed(x):\n"
                     "  t = threading.Thread(target=deep, args=(200,)); t.start()\n"
                     "  y = erlang.echo(x)\n"
                     "  time.sleep(0.001)\n"
                     "  t.join()\n"
                     "  return y + deep(300)\n"
                     "def hot(x):\n"
                     "  return sum(i * x for i in range(2000)), json.loads(json.dumps([x]))\n")
     || C <- Contexts],
    Self = self(),
    Watchers = [spawn_link(fun() -> watch(C, Self, 0) end) || C <- Contexts, _ <- [1, 2]],
    Results = py_ct:parallel(8, fun(I) -> storm(I, Contexts) end),
    ?assertEqual(lists:duplicate(8, ok), Results),
    Counts = [begin
                  W ! stop,
                  receive {W, N} -> N after 30000 -> ct:fail(no_watcher) end
              end || W <- Watchers],
    ?assert(lists:min(Counts) > 0),
    ct:log("backtraces: ~p", [Counts]),
    [{ok, #{restarts := 0}} = py_context:info(C) || C <- Contexts].

watch(C, To, N) ->
    receive
        stop -> To ! {self(), N}
    after 0 ->
        {ok, Text} = py:backtrace(C),
        has(Text, ["most recent call first"]),
        watch(C, To, N + 1)
    end.

storm(I, Contexts) ->
    [begin
         C = lists:nth(1 + (I + N) rem length(Contexts), Contexts),
         X = I * 1000 + N,
         Mixed = X + 300,
         {ok, Mixed} = py_context:call(C, '__main__', mixed, [X]),
         Sum = X * 1999000,
         {ok, {Sum, [X]}} = py_context:call(C, '__main__', hot, [X]),
         case N rem 10 of
             0 -> {error, timeout} = py_context:eval(C, "time.sleep(60)", #{}, 10);
             _ -> ok
         end
     end || N <- lists:seq(1, 60)],
    ok.
