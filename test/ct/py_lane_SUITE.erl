%% SPDX-License-Identifier: Apache-2.0
%% @doc The lane: what it does for calls, and what Python code that has found it
%% in its own memory can do with it.  Wherever the enemy strikes, its caller gets
%% an error that says why, everybody else goes on, and nothing is left.
%%
%% Each context here says how it speaks, so this is not run over other ways.
-module(py_lane_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").
-include("../../erl/port/py_wire.hrl").

%% Of c_src/lane/lane_layout.h: where the words are, in bytes.
-define(VM_HEAD, 0).
-define(VM_TAIL, 64).
-define(HELPER_HEAD, 128).
-define(HELPER_ASLEEP, 136).
-define(HELPER_TAIL, 192).
-define(DOWN, 4096).
-define(UP, 4096 + 131072).
%% How a helper ends that finds nonsense (c_src/wire/handoff.h).
-define(EXIT_PROTOCOL, 76).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [bad_settings, bad_options, counters, never_polls, no_lane, sizes, fifo, many_callers,
     callers_killed, unasked, readers_share, {group, enemies}].

groups() ->
    [{enemies, [],
      [scribbler, extreme_heads, extreme_tails, claims_to_be_awake, claims_to_sleep, hole,
       cannot_be_unsealed, unmapped, junk_on_the_socket, hangs_up, stops, stops_while_idle]}].

init_per_suite(Config) ->
    case py_ct:way() of
        [] -> init(Config);
        _ -> {skip, "it chooses its ways by itself"}
    end.

init(Config) ->
    ok = logger:set_primary_config(level, error),
    Restart = #{free => 1000000, min_backoff => 1, max_backoff => 20, stable_ms => 1000},
    ok = py_ct:start([{start_contexts, false}, {grace_ms, 100}, {restart, Restart}]),
    Config.

end_per_suite(_) ->
    ok = py_ct:stop(),
    logger:set_primary_config(level, notice).

init_per_testcase(_, Config) ->
    {ok, Bystander} = py_context:new(#{lane => true}),
    {ok, C} = py_context:new(#{}),
    ok = py_context:stop(C),
    {ok, 0} = py:eval(Bystander, "0"),
    [{census, py_ct:census()}, {bystander, Bystander} | Config].

end_per_testcase(_, Config) ->
    ?assertEqual({ok, 2}, py:eval(proplists:get_value(bystander, Config), "1 + 1")),
    py_ct:settled(proplists:get_value(census, Config)),
    ok = py_context:stop(proplists:get_value(bystander, Config)),
    ?assertEqual([], py_ct:mailbox()).

%%% Settings

bad_values() ->
    [{lane, 1}, {lane, yes}, {lane, "true"}, {spin_us, -1}, {spin_us, ?WIRE_MAX_SPIN_US + 1},
     {spin_us, 1.5}, {spin_us, infinity}, {spin_us, true}].

bad_settings(_) ->
    [?assertEqual({error, {invalid, K, V}}, terrarium_config:validate([{K, V}]))
     || {K, V} <- bad_values()],
    [?assertMatch({ok, #{K := V}}, terrarium_config:validate([{K, V}]))
     || {K, V} <- [{lane, true}, {lane, false}, {spin_us, 0}, {spin_us, ?WIRE_MAX_SPIN_US}]].

bad_options(_) ->
    [?assertEqual({error, {invalid, K, V}}, py_context:new(#{K => V})) || {K, V} <- bad_values()].

%%% What the counters say

stats(C) ->
    {ok, #{stats := Stats}} = py_context:info(C),
    Stats.

with(Options, Fun) ->
    {ok, C} = py_context:new(Options),
    Result = Fun(C),
    ok = py_context:stop(C),
    Result.

%% With a core to spare, calls that come one after the other are answered while
%% their callers poll; what is larger than a record goes over the socket.
counters(_) ->
    with(#{lane => true, spin_us => ?WIRE_MAX_SPIN_US}, fun(C) ->
        {ok, Cores} = py:eval(C, "len(__import__('os').sched_getaffinity(0))"),
        Spins = fun() ->
                    [{ok, I} = py:eval(C, "x", #{x => I}) || I <- lists:seq(1, 100)],
                    maps:get(spun, stats(C)) > 0
                end,
        case Cores of
            1 -> ct:comment("one core: nobody polls");
            _ -> py_ct:eventually(Spins)
        end,
        Before = maps:get(bulk_bytes, stats(C)),
        ?assert(Before < 65536),
        Big = binary:copy(<<255>>, 1 bsl 20),
        {ok, 1048576} = py:call(C, builtins, len, [Big]),
        ?assert(maps:get(bulk_bytes, stats(C)) - Before >= 1 bsl 20)
    end).

%% Then the helper sleeps before each request, and has to be rung for.
never_polls(_) ->
    with(#{lane => true, spin_us => 0}, fun(C) ->
        [{ok, I} = py:eval(C, "x", #{x => I}) || I <- lists:seq(1, 500)],
        #{spun := 0, spin_lost := 0, bells := Bells, requests := 500} = stats(C),
        ?assert(Bells > 0),
        ?assert(Bells =< 500)
    end).

no_lane(_) ->
    with(#{lane => false, spin_us => ?WIRE_MAX_SPIN_US}, fun(C) ->
        [{ok, I} = py:eval(C, "x", #{x => I}) || I <- lists:seq(1, 100)],
        {ok, 200000} = py:call(C, builtins, len, [binary:copy(<<255>>, 200000)]),
        ?assertMatch(#{spun := 0, spin_lost := 0, bells := 0, bulk_bytes := 0}, stats(C)),
        ?assertEqual({ok, 0}, py:exec(C, enemy()) =:= ok andalso py:eval(C, "len(lanes())"))
    end).

%%% The same results whatever the way

ways() ->
    [#{lane => false}, #{lane => true, spin_us => 0},
     #{lane => true, spin_us => ?WIRE_MAX_SPIN_US}].

%% Around the largest record, the size of a ring, and well beyond.
sizes(_) ->
    Sizes = lists:seq(65500, 65600) ++ lists:seq(131000, 131100) ++
            [1 bsl 20 + D || D <- lists:seq(-2, 2)],
    [with(Way, fun(C) -> [there_and_back(C, N) || N <- Sizes] end) || Way <- ways()].

there_and_back(C, N) ->
    %% Not UTF-8, so it stays bytes.
    Bytes = <<255, (binary:copy(<<(N rem 251)>>, N - 2))/binary, 254>>,
    ?assertEqual({N, {ok, N}}, {N, py:call(C, builtins, len, [Bytes])}),
    ?assertEqual({ok, Bytes}, py:call(C, operator, getitem, [[Bytes], 0])),
    Code = "bytes([255]) + bytes([n % 251]) * (n - 2) + bytes([254])",
    ?assertEqual({ok, Bytes}, py:eval(C, Code, #{n => N})).

%% What a thread asks while no request is pending is heard; the driver does not expect it.
unasked(_) ->
    Self = self(),
    ok = py:register_function(tell_unasked, fun([I]) -> Self ! {unasked, I}, I end),
    [with(Way, fun thread_calls/1) || Way <- ways()],
    ok = py:unregister_function(tell_unasked).

thread_calls(C) ->
    ok = py:exec(C, "import threading, erlang\n"
                    "go, got = threading.Semaphore(0), []\n"
                    "def ask():\n"
                    "    for i in range(20):\n"
                    "        go.acquire()\n"
                    "        got.append(erlang.call('tell_unasked', i))\n"
                    "threading.Thread(target=ask, daemon=True).start()"),
    %% Released a while after the request has been answered.
    [begin
         {ok, _} = py:eval(C, "threading.Timer(0.02, go.release).start()"),
         receive {unasked, I} -> ok after 10000 -> ct:fail({not_heard, I}) end
     end || I <- lists:seq(0, 19)],
    py_ct:eventually(fun() -> py:eval(C, "got == list(range(20))") =:= {ok, true} end).

%% A thread that waits for an answer reads the main thread's requests as well, also
%% where that one slept already when the first such thread came.
readers_share(_) ->
    Self = self(),
    ok = py:register_function(hold, fun([]) -> Self ! {held, self()}, receive go -> 1 end end),
    [with(Way, fun read_for_each_other/1) || Way <- ways(), _ <- lists:seq(1, 3)],
    ok = py:unregister_function(hold).

read_for_each_other(C) ->
    ok = py:exec(C, "import threading, erlang\n"
                    "got = []\n"
                    "threading.Timer(0.3, lambda: got.append(erlang.call('hold'))).start()"),
    Held = receive {held, P} -> P after 10000 -> ct:fail(not_heard) end,
    [?assertEqual({ok, I}, py:eval(C, "i", #{i => I}))
     || I <- lists:seq(1, 2000)],
    Held ! go,
    py_ct:eventually(fun() -> py:eval(C, "got == [1]") =:= {ok, true} end).

%% Requests of all sizes that wait are run in the order in which they were made.
fifo(_) ->
    [with(Way, fun in_order/1) || Way <- ways()].

in_order(C) ->
    N = 60,
    Self = self(),
    %% The first one goes on when it is told to, not when its time is up.
    ok = py:exec(C, "import signal\nseen, go = [], {signal.SIGUSR1}\n"
                    "signal.pthread_sigmask(signal.SIG_BLOCK, go)"),
    Os = py_ct:helper_pid(C),
    Ask = fun(I, Body) ->
              spawn_link(fun() -> Self ! {done, I, py:eval(C, Body, #{i => I, p => pad(I)})} end),
              py_ct:eventually(fun() -> py_SUITE:pending(C) =:= I end)
          end,
    Ask(1, "(signal.sigwait(go), seen.append(i))[1]"),
    [Ask(I, "seen.append(i)") || I <- lists:seq(2, N)],
    "" = os:cmd("kill -USR1 " ++ integer_to_list(Os)),
    [receive {done, I, R} -> ?assertEqual({ok, none}, R) end || I <- lists:seq(1, N)],
    ?assertEqual({ok, lists:seq(1, N)}, py:eval(C, "seen")).

pad(I) ->
    binary:copy(<<255>>, lists:nth(I rem 6 + 1, [1, 100, 9000, 65520, 70000, 300000])).

many_callers(_) ->
    [with(Way, fun(C) ->
         Results = py_ct:parallel(32, fun(I) -> [nonce(C, I, K) || K <- lists:seq(1, 50)] end),
         ?assertEqual([lists:duplicate(50, ok) || _ <- lists:seq(1, 32)], Results)
     end) || Way <- ways()].

nonce(C, I, K) ->
    Nonce = rand:uniform(1 bsl 60),
    Pad = pad(I + K),
    case py:call(C, operator, getitem, [[[Nonce, Pad]], 0]) of
        {ok, [Nonce, Pad]} -> ok;
        Other -> Other
    end.

%% Callers that die while they poll, wait, or write what is large.
callers_killed(_) ->
    [with(Way, fun killing/1) || Way <- ways()].

killing(C) ->
    Os = py_ct:helper_pid(C),
    Victim = fun Loop(I) -> nonce(C, I, rand:uniform(6)), Loop(I) end,
    Killer = fun() ->
                 {Pid, Mon} = spawn_monitor(fun() -> Victim(rand:uniform(6)) end),
                 timer:sleep(rand:uniform(4) - 1),
                 exit(Pid, kill),
                 receive {'DOWN', Mon, process, Pid, killed} -> ok end
             end,
    Runs = py_ct:parallel(8, fun(1) -> [nonce(C, 1, K) || K <- lists:seq(1, 200)];
                                (_) -> [Killer() || _ <- lists:seq(1, 40)]
                             end),
    ?assertEqual([ok], lists:usort(lists:append(Runs))),
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= 0 end),
    ?assertEqual(Os, py_ct:helper_pid(C)),
    ?assertMatch(#{kills := 0}, stats(C)).

%%% Enemies

%% What Python code needs to get at its lane and at its socket.
enemy() ->
    "import ctypes, fcntl, os, random, signal, struct, threading, time\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "def lanes():\n"
    "    with open('/proc/self/maps') as maps:\n"
    "        found = [l.split()[0] for l in maps if 'memfd:terrarium-lane' in l]\n"
    "    return [tuple(int(x, 16) for x in f.split('-')) for f in found]\n"
    "def start(): return lanes()[0][0]\n"
    "def size(): return lanes()[0][1] - lanes()[0][0]\n"
    "def poke(at, data): ctypes.memmove(start() + at, data, len(data))\n"
    "def keep(at, value, kind=ctypes.c_uint64):\n"
    "    word = kind.from_address(start() + at)\n"
    "    def lie():\n"
    "        while True: word.value = value\n"
    "    background(lie)\n"
    "def links():\n"
    "    for fd in os.listdir('/proc/self/fd'):\n"
    "        try: yield int(fd), os.readlink('/proc/self/fd/' + fd)\n"
    "        except OSError: pass\n"
    "def sock(): return next(fd for fd, to in links() if to.startswith('socket:'))\n"
    "def ring(): os.write(sock(), b'\\x01')\n"
    "def background(f): threading.Thread(target=f, daemon=True).start()\n".

%% A new context in which the enemy is at home; afterwards it is as good as any.
against(Config, Fun) ->
    with(#{lane => true}, fun(C) ->
        ok = py:exec(C, enemy()),
        {ok, 1} = py:eval(C, "len(lanes())"),
        Result = Fun(C),
        ?assertEqual({ok, 1}, py:eval(proplists:get_value(bystander, Config), "1")),
        healthy(C),
        Result
    end).

%% It may still be dying of what was done to it.
healthy(C) ->
    Fine = fun() -> py_context:eval(C, "6 * 7", #{}, 2000) =:= {ok, 42} end,
    py_ct:eventually(Fine),
    ?assertEqual({ok, <<"x">>}, py:call(C, operator, getitem, [[<<"x">>], 0], 5000)).

exec(C, Code) ->
    py:exec(C, Code, 3000).

%% What anybody may get whose helper writes nonsense.
plausible({ok, _}) -> true;
plausible(ok) -> true;
plausible({error, timeout}) -> true;
plausible({error, unavailable}) -> true;
plausible({error, {protocol, What}}) -> is_binary(What);
plausible({error, {unknown_atom, _}}) -> true;
plausible({error, {crashed, Report}}) -> is_map(Report);
plausible({error, {Type, Message}}) -> is_list(Type) andalso is_list(Message);
plausible(_) -> false.

%% Random bytes everywhere, most of them where it hurts, while calls go on.
scribbler(Config) ->
    Rounds = [against(Config, fun(C) -> scribbled(C, Seed) end) || Seed <- lists:seq(1, 40)],
    ct:pal("~p", [lists:append(Rounds)]),
    %% The lane's own rules, not only time or chance, ended some of them.
    ?assert(lists:any(fun({error, {protocol, _}}) -> true; (_) -> false end,
                      lists:append(Rounds))).

scribbled(C, Seed) ->
    Code = io_lib:format("def scribble(at=start(), size=size(), r=random.Random(~b)):\n"
                         "    while True:\n"
                         "        where = r.randrange(size if r.random() < 0.5 else 256)\n"
                         "        ctypes.memset(at + where, r.randrange(256), 1)\n"
                         "        time.sleep(r.choice([0, 0, 0.0001]))\n"
                         "background(scribble)", [Seed]),
    Results = attacked(C, iolist_to_binary(Code), 60),
    %% Whatever is left of it must not be trusted.
    _ = exec(C, "os._exit(0)"),
    [R || {error, _} = R <- Results].

%% The code, and then calls, until the helper has come to its end.
attacked(C, Code, Calls) ->
    Results = until_broken(exec(C, Code), C, Calls),
    [?assert(plausible(R), R) || R <- Results],
    Results.

until_broken({error, {Kind, _}} = Last, _, _) when Kind =:= protocol; Kind =:= crashed ->
    [Last];
until_broken(Last, _, 0) ->
    [Last];
until_broken(Before, C, Left) ->
    case restarts(C) of
        0 -> [Before | until_broken(again(C, Left), C, Left - 1)];
        _ -> [Before]
    end.

again(C, Left) ->
    %% The enemy's thread gets its turn while the helper waits.
    timer:sleep(1),
    py:call(C, operator, getitem, [[pad(Left)], 0], #{timeout => 500}).

extremes() ->
    [16#ffffffffffffffff, 16#8000000000000000, 16#7fffffffffffffff, 16#100000000, 7, 1 bsl 40].

poke(At, Value) ->
    iolist_to_binary(io_lib:format("poke(~b, struct.pack('<Q', ~b))\n", [At, Value])).

%% The VM, which is woken to look at it, is not fooled; nor is the helper itself.
extreme_heads(Config) ->
    [against(Config, fun(C) ->
         Code = [poke(?HELPER_HEAD, V), "ring()\ntime.sleep(60)"],
         ?assertMatch({error, {protocol, _}}, exec(C, iolist_to_binary(Code)))
     end) || V <- extremes()],
    [against(Config, fun(C) ->
         found_out(C, attacked(C, keep(?VM_HEAD, V, "ctypes.c_uint64"), 300), helper)
     end) || V <- extremes()].

%% This helper is no more, and whoever was waiting for it has been told why: the
%% VM has killed it, or it has ended by itself, with the status for nonsense.
found_out(C, Results, Who) ->
    py_ct:eventually(fun() -> restarts(C) > 0 end),
    case {Who, lists:last(Results)} of
        {_, {error, timeout}} -> ok; % 7 may have been true once: the ring is full
        {vm, {error, Reason}} -> ?assertMatch({protocol, _}, Reason);
        {helper, {error, Reason}} ->
            ?assertMatch({crashed, #{exit_status := ?EXIT_PROTOCOL}}, Reason);
        {_, {ok, _}} -> ok % between two calls
    end.

restarts(C) ->
    {ok, #{restarts := N}} = py_context:info(C),
    N.

%% They are looked at when the ring seems full: fill it.
extreme_tails(Config) ->
    [against(Config, fun(C) ->
         found_out(C, attacked(C, keep(At, V, "ctypes.c_uint64"), 1000), Who)
     end) || {At, Who} <- [{?HELPER_TAIL, vm}, {?VM_TAIL, helper}], V <- extremes()].

keep(At, Value, Kind) ->
    iolist_to_binary(io_lib:format("keep(~b, ~b, ~s)", [At, Value, Kind])).

%% The VM does not ring for a helper that says it is awake.  Its callers wait,
%% no longer than they want to.
claims_to_be_awake(Config) ->
    against(Config, fun(C) ->
        ok = exec(C, keep(?HELPER_ASLEEP, 0, "ctypes.c_uint32")),
        Results = [py_context:eval(C, "1", #{}, 200) || _ <- lists:seq(1, 10)],
        [?assert(plausible(R), R) || R <- Results],
        _ = exec(C, "os._exit(0)")
    end).

%% Rung for at each word, it takes none of the bells.
claims_to_sleep(Config) ->
    against(Config, fun(C) ->
        ok = exec(C, keep(?HELPER_ASLEEP, 3, "ctypes.c_uint32")),
        Results = py_ct:parallel(8, fun(I) -> [nonce(C, I, K) || K <- lists:seq(1, 50)] end),
        ?assertEqual([ok], lists:usort(lists:append(Results))),
        _ = exec(C, "os._exit(0)")
    end).

%% A hole punched into the segment is zeroes, for the VM too.
hole(Config) ->
    [against(Config, fun(C) ->
         Code = io_lib:format("assert libc.madvise(ctypes.c_void_p(start() + ~b),"
                              " ctypes.c_size_t(~b), 9) == 0\n~s", [At, Size, Then]),
         R = exec(C, iolist_to_binary(Code)),
         ?assert(plausible(R), R),
         case Expected of
             protocol -> ?assertMatch({error, {protocol, _}}, R);
             any -> ok
         end
     end) || {At, Size, Then, Expected} <-
                 [{0, 4096, "ring()\ntime.sleep(60)", protocol},
                  {?UP, 131072, [poke(?HELPER_HEAD, 131072), "ring()\ntime.sleep(60)"], any},
                  {?DOWN, 131072, "", any}]].

%% No descriptor of it is left, and the seals hold where it is opened again.
cannot_be_unsealed(Config) ->
    against(Config, fun(C) ->
        ?assertEqual({ok, []}, py:eval(C, "[to for _, to in links() if 'terrarium-lane' in to]")),
        Code = "def tried(f, *args):\n"
               "    try: return ('done', f(*args))\n"
               "    except OSError as e: return ('error', e.errno)\n"
               "def attack():\n"
               "    path = '/proc/self/map_files/%x-%x' % lanes()[0]\n"
               "    how, fd = tried(os.open, path, os.O_RDWR)\n"
               "    if how == 'error': return []\n"
               "    return [tried(os.ftruncate, fd, n) for n in (0, 4096, 1 << 30)] + [\n"
               "            tried(fcntl.fcntl, fd, 1033, seal) for seal in (8, 16, 2)]\n",
        ok = exec(C, Code),
        {ok, Tried} = py:eval(C, "attack()"),
        [?assertEqual({<<"error">>, 1}, T) || T <- Tried], % EPERM
        Tried =:= [] andalso ct:comment("this system does not let it open its mappings")
    end).

%% Its own mapping is its own affair.
unmapped(Config) ->
    [against(Config, fun(C) ->
         R = exec(C, iolist_to_binary(["libc.", Call])),
         ?assertMatch({error, {crashed, #{signal := sigsegv}}}, R)
     end) || Call <- ["munmap(ctypes.c_void_p(start()), ctypes.c_size_t(size()))",
                      "mprotect(ctypes.c_void_p(start()), ctypes.c_size_t(size()), 0)"]].

junk_on_the_socket(Config) ->
    [against(Config, fun(C) ->
         Code = ["os.write(sock(), ", Junk, ")\ntime.sleep(60)"],
         ?assertMatch({error, {protocol, _}}, exec(C, iolist_to_binary(Code)))
     end) || Junk <- ["b'\\0'", "b'\\x02'", "b'\\xff' * 1000", "b'\\x01' * 70 + b'x'",
                      "b'\\x02' + b'\\x01' * 100"]].

hangs_up(Config) ->
    against(Config, fun(C) ->
        Code = "import socket\nsocket.socket(fileno=sock()).shutdown(socket.SHUT_RDWR)\n"
               "time.sleep(60)",
        ?assertMatch({error, {crashed, _}}, exec(C, Code))
    end).

%% It never answers the doorbell.
stops(Config) ->
    against(Config, fun(C) ->
        Code = "os.kill(os.getpid(), signal.SIGSTOP)",
        ?assertEqual({error, timeout}, py:exec(C, Code, 300))
    end).

stops_while_idle(Config) ->
    against(Config, fun(C) ->
        Os = py_ct:helper_pid(C),
        "" = os:cmd("kill -STOP " ++ integer_to_list(Os)),
        Results = py_ct:parallel(20, fun(I) ->
                      py:call(C, operator, getitem, [[pad(I)], 0], #{timeout => 300})
                  end),
        %% One was first: its time is up, and with it the helper's.
        [?assertMatch({error, _}, R) || R <- Results],
        [?assert(plausible(R), R) || R <- Results],
        ?assert(lists:member({error, timeout}, Results)),
        py_ct:eventually(fun() -> not py_ct:alive(Os) end)
    end).
