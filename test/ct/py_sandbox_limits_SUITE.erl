%% SPDX-License-Identifier: Apache-2.0
%% @doc Limits of what Python may say to Erlang, in contexts whose Python is honest
%% about it; what the driver makes of others is in py_evil_policy_SUITE.
-module(py_sandbox_limits_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [term_depth, term_words, callbacks, callbacks_of_each_request, callbacks_of_threads, services,
     callback_depth, inflight, inflight_is_given_back, inflight_and_renewal,
     inflight_of_a_failed_renewal, of_a_former_helper, fs_bytes, output, output_without_text,
     output_for_nobody, cpu, cpu_of_nested, cpu_of_threads, threads_of_each, signals_of_each,
     waits, large_integers,
     trusted].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {log_output, false}]),
    ok = py:register_function(py_limits_f, fun(_) -> 1 end),
    ok = py:register_function(py_limits_again, fun([N]) -> again(N) end),
    Config.

end_per_suite(_) ->
    py_ct:stop().

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

new(Limits) ->
    new(default, Limits).

new(Level, Limits) ->
    {ok, C} = py_context:new(#{policy => #{level => Level, allow => [{call, all}],
                                           limits => maps:merge(#{wall_ms => 60000}, Limits)}}),
    ok = py_context:exec(C, "import erlang\n"
                            "def calls(n):\n"
                            "    for i in range(n): erlang.call('py_limits_f')\n"
                            "    return n"),
    C.

%% Python is told of it where it can be; the context goes on.
term_depth(_) ->
    C = new(#{term_depth => 10}),
    Nested = "eval('[' * ~b + ']' * ~b)",
    Deep = fun(N) -> py_context:eval(C, io_lib:format(Nested, [N, N])) end,
    {ok, [_]} = Deep(11), % the innermost is empty
    ?assertMatch({error, {"EncodeError", _}}, Deep(12)),
    Call = fun(N) ->
                   Code = "erlang.call('py_limits_f', eval('[' * ~b + ']' * ~b))",
                   py_context:eval(C, io_lib:format(Code, [N, N]))
           end,
    ?assertEqual({ok, 1}, Call(9)),
    ?assertMatch({error, {"EncodeError", _}}, Call(10)),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C),
    {ok, Own} = py_context_opts:context(#{policy => default, max_depth => 50}),
    ?assertMatch(#{max_depth := 50}, Own).

large_integers(_) ->
    C = new(#{}),
    ?assertEqual({ok, (1 bsl 32768) - 1}, py_context:eval(C, "(1 << 32768) - 1")),
    ?assertMatch({error, {"EncodeError", "cannot encode an int of 4097 bytes (at most 4096)"}},
                 py_context:eval(C, "1 << 32768")),
    ?assertEqual({ok, 1 bsl 32768}, py:eval("1 << 32768")),
    ok = py_context:stop(C).

term_words(_) ->
    C = new(#{term_words => 2000}),
    ?assertMatch({ok, [_ | _]}, py_context:eval(C, "[1] * 900")),
    ?assertEqual({error, {limit, term_words}}, py_context:eval(C, "[1] * 1100")),
    ?assertEqual({error, {limit, term_words}}, py_context:eval(C, "__import__('erlang').call("
                                                                  "'py_limits_f', [[]] * 1000)")),
    ?assertEqual({error, {limit, term_words}}, py_context:eval(C, "[1] * 100000")),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C).

callbacks(_) ->
    C = new(#{callbacks => 10}),
    ?assertEqual({ok, 10}, py_context:call(C, '__main__', calls, [10])),
    ?assertEqual({error, {limit, callbacks}}, py_context:call(C, '__main__', calls, [11])),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C).

callbacks_of_each_request(_) ->
    C = new(#{callbacks => 10}),
    [?assertEqual({ok, 7}, py_context:call(C, '__main__', calls, [7])) || _ <- lists:seq(1, 5)],
    ok = py_context:stop(C).

%% Those outside of any request count since the last one began.
callbacks_of_threads(_) ->
    C = new(#{callbacks => 10}),
    ok = py_context:exec(C, "import threading\n"
                            "def aside(n):\n"
                            "    t = threading.Thread(target=calls, args=(n,))\n"
                            "    t.start(); t.join()"),
    [?assertEqual({ok, none}, py_context:call(C, '__main__', aside, [10])) || _ <- [1, 2, 3]],
    ?assertEqual({error, {limit, callbacks}}, py_context:call(C, '__main__', aside, [11])),
    ok = py_context:stop(C).

%% Printing is this library's doing.
services(_) ->
    C = new(#{callbacks => 1}),
    ?assertMatch({ok, #{value := none}},
                 py_context:eval(C, "[print(i) for i in range(100)] and None", #{},
                                 #{output => capture})),
    ok = py_context:stop(C).

again(0) -> 0;
again(N) -> element(2, py_context:eval(py_callback:context(),
                                       io_lib:format("erlang.call('py_limits_again', ~b)",
                                                     [N - 1]))).

callback_depth(_) ->
    C = new(#{callback_depth => 5}),
    Nest = fun(N) -> py_context:call(C, erlang, call, [<<"py_limits_again">>, N]) end,
    ?assertEqual({ok, 0}, Nest(4)),
    ?assertEqual({error, {limit, callback_depth}}, Nest(5)),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C).

%% Two are under way: a third is told so.  What functions of theirs ask is theirs.
inflight(_) ->
    C = new(#{inflight => 2}),
    Here = self(),
    ok = py:register_function(py_limits_hold,
                              fun([]) ->
                                      Here ! {holds, self()},
                                      receive go -> py_context:eval(py_callback:context(), "7") end
                              end),
    Ask = fun(Code) -> spawn_monitor(fun() -> exit(py_context:eval(C, Code)) end) end,
    {First, Mon1} = Ask("erlang.call('py_limits_hold')"),
    receive {holds, First} -> ok after 10000 -> ct:fail(nothing) end,
    {Second, Mon2} = Ask("erlang.call('py_limits_hold')"),
    receive {holds, Second} -> ok after 10000 -> ct:fail(nothing) end,
    ?assertEqual({error, {overloaded, 2, 2}}, py_context:exec(C, "3")),
    ?assertEqual({error, {overloaded, 2, 2}}, py:await(py:cast(C, builtins, abs, [1]))),
    Second ! go,
    receive {'DOWN', Mon2, process, _, R2} -> ?assertEqual({ok, {ok, 7}}, R2) end,
    First ! go,
    receive {'DOWN', Mon1, process, _, R1} -> ?assertEqual({ok, {ok, 7}}, R1) end,
    ?assertEqual({ok, 3}, py_context:eval(C, "3")),
    ok = py_context:stop(C).

taken(C) ->
    {ready, _, _, {_, {_, #{inflight := Limit}}}, _} = py_registry:find(C),
    element(1, py_limit:read(Limit)).

inflight_is_given_back(_) ->
    C = new(#{inflight => 1}),
    [_ = py_context:eval(C, Code, #{}, Time)
     || {Code, Time} <- [{"1 / 0", 1000}, {"while True: pass", 10},
                         {"__import__('time').sleep(9)", 50}, {"__import__('os')._exit(1)", 9000},
                         {"1", 1000}]],
    {Pid, Mon} = spawn_monitor(fun() -> py_context:eval(C, "__import__('time').sleep(9)") end),
    py_ct:eventually(fun() -> taken(C) =:= 1 end),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    py_ct:eventually(fun() -> taken(C) =:= 0 end),
    {ok, Ref} = py_context:eval(C, "[1]", #{}, #{return => ref}),
    ?assertEqual({ok, [1]}, py_context:to_term(Ref)),
    ?assertEqual(0, taken(C)),
    ok = py_context:stop(C).

%% Its requests count on.
inflight_and_renewal(_) ->
    C = new(#{inflight => 1}),
    ok = py_context:renew(C),
    ?assertEqual({ok, 1}, py_context:eval(C, "1")),
    ?assertEqual(0, taken(C)),
    ok = py_context:stop(C).

%% What the options would have allowed is not in force before they are.
inflight_of_a_failed_renewal(_) ->
    Policy = fun(N) -> #{level => trusted, limits => #{inflight => N}} end,
    {ok, [C]} = py_context_router:start_pool(?MODULE, 1, #{policy => Policy(4)}),
    {ok, 1} = py_context:eval(C, "1"),
    Allowed = fun() ->
                      {ready, _, _, {_, {_, #{inflight := Limit}}}, _} = py_registry:find(C),
                      element(2, py_limit:read(Limit))
              end,
    Reload = fun(N, Imports) ->
                     Options = #{policy => Policy(N), imports => Imports},
                     py_context_router:reload_pool(?MODULE, Options)
             end,
    ?assertMatch({error, {boot_failed, _}}, Reload(1, [no_such_module])),
    ?assertEqual(4, Allowed()),
    ok = Reload(2, []),
    ?assertEqual(2, Allowed()),
    ok = py_context_router:stop_pool(?MODULE).

%% Whatever has been put in its place, what it does is judged as before.
of_a_former_helper(_) ->
    C = new(#{}),
    Here = self(),
    ok = py:register_function(py_limits_wait, fun([]) -> Here ! {waits, self()},
                                                         receive go -> ok end
                                              end),
    Code = "(erlang.call('py_limits_wait'), __import__('ctypes').CDLL(None).syscall(101, 0, 0))",
    {Pid, Mon} = spawn_monitor(fun() -> exit(py_context:eval(C, Code)) end),
    receive {waits, Pid} -> ok after 10000 -> ct:fail(nothing) end,
    ok = py_context:renew(C),
    Pid ! go,
    Result = receive {'DOWN', Mon, process, _, Reason} -> Reason end,
    ?assertMatch({error, {sandbox, {syscall, _}}}, Result),
    ok = py_context:stop(C).

fs_bytes(_) ->
    {ok, #{default := Layers}} = py:sandbox_info(),
    lists:member(namespaces, Layers) orelse throw({skip, no_namespaces}),
    {ok, C} = py_context:new(#{policy => #{level => default, allow => [{tmp, 1 bsl 20}],
                                           limits => #{fs_bytes => 65536}}}),
    ok = py_context:exec(C, "open('/tmp/a', 'wb').write(bytes(30000))"),
    ?assertMatch({error, {"OSError", _}},
                 py_context:exec(C, "open('/tmp/b', 'wb').write(bytes(60000))")),
    ok = py_context:stop(C).

%% Each request has all of it, but not those that it has others make for it.
output(_) ->
    C = new(#{output_bytes => 1000}),
    Print = fun(N) -> py_context:exec(C, io_lib:format("print('x' * ~b)", [N]),
                                      #{output => capture}) end,
    [?assertMatch({ok, #{stdout := <<"xxx", _/binary>>}}, Print(900)) || _ <- lists:seq(1, 5)],
    ?assertEqual({error, {limit, output_bytes}}, Print(1001)),
    {ok, #{stdout := _}} = Print(900),
    Nested = "for i in range(10): print('x' * 400); erlang.call('py_limits_again', 0)",
    ?assertEqual({error, {limit, output_bytes}}, py_context:exec(C, ["import erlang\n", Nested])),
    ok = py_context:stop(C).

%% What is no UTF-8 is looked at once, however much of it there is; of a process that has
%% printed too much, not at all.
output_without_text(_) ->
    C = new(#{output_bytes => 1 bsl 20}),
    Print = "import sys\nsys.stdout.buffer.write(b'\\xff' * 1000000)\n",
    {ok, #{stdout := Text}} = py_context:exec(C, Print, #{output => capture}),
    ?assertEqual(3000000, byte_size(Text)),
    ?assertEqual(ok, nobody_reads(fun() -> py_context:exec(C, Print) end)),
    AtOnce = "from erlang import _waits\n_waits.ask(('io', 'put'), 1, b'\\x1b' * 10000000)",
    ?assertEqual({error, {limit, output_bytes}}, nobody_reads(fun() -> py_context:exec(C, AtOnce)
                                                              end)),
    ok = py_context:stop(C).

%% Pieces of a backtrace, as its helper would write them were it asked: they are cut out of
%% what it prints, but they are output all the same.
output_for_nobody(_) ->
    Piece = "import os\n"
            "piece = b'\\0TBT' + (~b).to_bytes(8, 'little') + b'\\0' + (4000).to_bytes(2, 'little')"
            " + b'a' * 4000\n"
            "while True: os.write(2, piece)\n",
    [begin
         C = new(Level, #{output_bytes => 1 bsl 20}),
         ?assertEqual({error, {limit, output_bytes}},
                      py_context:exec(C, io_lib:format(Piece, [Token]))),
         ok = py_context:stop(C)
     end || Level <- [default, strict], Token <- [0, 1]].

%% With a group leader that has seen worse.
nobody_reads(Fun) ->
    Leader = spawn_link(fun swallow/0),
    {Pid, Mon} = spawn_monitor(fun() -> group_leader(Leader, self()), exit({did, Fun()}) end),
    Result = receive {'DOWN', Mon, process, Pid, {did, R}} -> R end,
    unlink(Leader),
    exit(Leader, kill),
    Result.

swallow() ->
    receive {io_request, From, Ref, _} -> From ! {io_reply, Ref, ok} end,
    swallow().

%% Five requests that take most of it each, and then one that takes more.
cpu(_) ->
    C = new(#{cpu_ms => 500}),
    ok = py_context:exec(C, "import time\n"
                            "def burn(seconds):\n"
                            "    end = time.process_time() + seconds\n"
                            "    while time.process_time() < end: pass"),
    [?assertEqual({ok, none}, py_context:call(C, '__main__', burn, [0.4])) || _ <- lists:seq(1, 5)],
    ?assertEqual({error, {limit, cpu_ms}}, py_context:call(C, '__main__', burn, [100])),
    ?assertEqual({ok, 2}, py_context:eval(C, "1 + 1")),
    ok = py_context:stop(C).

%% What is asked for it by its own functions does not give it more.
cpu_of_nested(_) ->
    C = new(#{cpu_ms => 300}),
    ok = py_context:exec(C, "import erlang"),
    ?assertEqual({error, {limit, cpu_ms}},
                 py_context:exec(C, "while True: erlang.call('py_limits_again', 1)")),
    ok = py_context:stop(C).

%% Nor has a thread more that goes on when nothing is asked.
cpu_of_threads(_) ->
    C = new(#{cpu_ms => 300}),
    {ok, #{os_pid := Helper}} = py_context:info(C),
    ok = py_context:exec(C, "import threading\n"
                            "def loop():\n"
                            "    while True: pass\n"
                            "threading.Thread(target=loop).start()"),
    py_ct:eventually(fun() -> not py_ct:alive(Helper) end),
    %% The context may not have heard of it yet.
    py_ct:eventually(fun() ->
                             Result = py_context:eval(C, "1 + 1"),
                             Result =:= {ok, 2} orelse Result
                     end),
    ok = py_context:stop(C).

%% One that is ended before it has begun is remembered for some seconds.
waits(_) ->
    C = new(#{}),
    Before = erlang:system_info(process_count),
    ?assertEqual({ok, 3000},
                 py_context:eval(C, "sum(__import__('erlang._waits', fromlist=['ask'])"
                                    ".ask(('wait', 'cancel'), n) == 'ok' "
                                    "for n in range(10 ** 9, 10 ** 9 + 3000))")),
    ?assert(erlang:system_info(process_count) - Before < 2000),
    [?assertMatch({error, {_, _}},
                  py_context:eval(C, ["__import__('erlang._waits', fromlist=['ask'])"
                                      ".ask(('wait', 'cancel'), ", Token, ")"]))
     || Token <- ["1 << 64", "-1", "b'1'", "[1]"]],
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> erlang:system_info(process_count) =< Before end).

%% Those of one take none from the others of its policy.
threads_of_each(_) ->
    Code = "import threading\n"
           "end = threading.Event()\n"
           "started = 0\n"
           "for _ in range(3):\n"
           "    threading.Thread(target=end.wait).start(); started += 1\n",
    All = [new(#{threads => 4}) || _ <- [1, 2, 3, 4]],
    [?assertEqual(ok, py_context:exec(C, Code)) || C <- All],
    [?assertEqual({ok, 3}, py_context:eval(C, "started")) || C <- All],
    [ok = py_context:exec(C, "end.set()") || C <- All],
    [ok = py_context:stop(C) || C <- All].

%% Signals that wait are counted for the user, and so are timers: with too many of one
%% helper no other could have its `cpu_ms'.
signals_of_each(_) ->
    Code = "import ctypes, os, signal\n"
           "signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 60))\n"
           "kill = ctypes.CDLL(None).kill\n"
           "for _ in range(200000): kill(os.getpid(), 50)\n",
    C = new(#{cpu_ms => 60000}),
    ok = py_context:exec(C, Code),
    D = new(#{cpu_ms => 60001}),
    ?assertEqual({error, timeout}, py_context:eval(D, "__import__('time').sleep(60)", #{}, 100)),
    {ok, #{os_pid := Helper}} = py_context:info(D),
    ?assertEqual({ok, 2}, py_context:eval(D, "1 + 1")),
    ?assertMatch({ok, #{os_pid := Helper}}, py_context:info(D)),
    [ok = py_context:stop(X) || X <- [C, D]].

%% The same limits hold where nothing is locked up.
trusted(_) ->
    C = new(trusted, #{callbacks => 3, inflight => 1, term_words => 100}),
    ?assertEqual({error, {limit, callbacks}}, py_context:call(C, '__main__', calls, [4])),
    ?assertEqual({error, {limit, term_words}}, py_context:eval(C, "[1] * 60")),
    ?assertEqual({ok, self()}, py_context:eval(C, "x", #{x => self()})),
    ok = py_context:stop(C).
