%% SPDX-License-Identifier: Apache-2.0
%% @doc Helpers that die in every way: each waiting caller gets the report, the
%% context goes on, nothing is left behind.
-module(py_crash_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").
-include("../../erl/context/py_context_data.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [segfault, abort, os_exit, os_exit_zero, sys_exit, killed_from_outside, stack_overflow,
     report_of_an_idle_death, stderr_tail, all_waiting_callers, neighbours_do_not_notice,
     children_die_too, fifty_crashes, pool_option_errors,
     the_context_fails].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}, {restart, #{free => 1000}}]),
    {ok, _} = py:eval("1"),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{}),
    {ok, 1} = py:eval(C, "1"),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    C = proplists:get_value(context, Config),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ok = py_context:stop(C),
    ?assertEqual([], py_ct:mailbox()).

crash(Config, Code) ->
    C = proplists:get_value(context, Config),
    Os = py_ct:helper_pid(C),
    {error, {crashed, Report}} = py:exec(C, Code),
    ?assertEqual(Os, maps:get(pid, Report)),
    ?assert(is_binary(maps:get(stderr, Report))),
    ?assertMatch(#{utime_us := _, maxrss_kb := _}, maps:get(rusage, Report)),
    py_ct:eventually(fun() -> not py_ct:alive(Os) end),
    Report.

segfault(Config) ->
    Code = "def deep_in_here():\n    import ctypes\n    ctypes.string_at(0)\ndeep_in_here()",
    Report = crash(Config, Code),
    #{signal := sigsegv, request := #{what := What}, traceback := Traceback} = Report,
    ?assert(binary:match(What, <<"deep_in_here">>) =/= nomatch),
    ?assert(binary:match(Traceback, <<"in deep_in_here">>) =/= nomatch),
    #{type := <<"crashed">>, report := Report, traceback := Traceback} = py:last_error().

abort(Config) ->
    #{signal := sigabrt, traceback := Traceback} = crash(Config, "import os; os.abort()"),
    ?assert(binary:match(Traceback, <<"Abort">>) =/= nomatch).

os_exit(Config) ->
    Report = crash(Config, "import os; os._exit(3)"),
    ?assertMatch(#{exit_status := 3}, Report),
    ?assertNot(maps:is_key(signal, Report)).

os_exit_zero(Config) ->
    ?assertMatch(#{exit_status := 0}, crash(Config, "import os; os._exit(0)")).

%% Told apart from os._exit: an error like any other.
sys_exit(Config) ->
    C = proplists:get_value(context, Config),
    Os = py_ct:helper_pid(C),
    {error, {"SystemExit", "3"}} = py:exec(C, "import sys; sys.exit(3)"),
    ?assertEqual(Os, py_ct:helper_pid(C)).

killed_from_outside(Config) ->
    Code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ?assertMatch(#{signal := sigkill}, crash(Config, Code)).

%% Newer Pythons stop counted recursion early; a stack that may not grow
%% overflows in all of them.
stack_overflow(Config) ->
    Code = "import resource, sys\nsys.setrecursionlimit(10**6)\n"
           "hard = resource.getrlimit(resource.RLIMIT_STACK)[1]\n"
           "resource.setrlimit(resource.RLIMIT_STACK, (65536, hard))\n"
           "l = []\nfor i in range(10**5): l = [l]\n"
           "def overflow_here(): return repr(l)\noverflow_here()",
    #{signal := sigsegv, traceback := Traceback} = crash(Config, Code),
    ?assert(binary:match(Traceback, <<"in overflow_here">>) =/= nomatch).

%% It dies with no request: the next one finds a new helper.
report_of_an_idle_death(Config) ->
    C = proplists:get_value(context, Config),
    Os = py_ct:helper_pid(C),
    "" = os:cmd("kill -9 " ++ integer_to_list(Os)),
    py_ct:eventually(fun() ->
                             {ok, #{restarts := N}} = py_context:info(C),
                             N =:= 1
                     end),
    ?assertNotEqual(Os, py_ct:helper_pid(C)).

stderr_tail(Config) ->
    Code = "import os\nfor i in range(2000): os.write(2, f'line {i}\\n'.encode())\n"
           "os._exit(1)",
    #{stderr := Tail} = crash(Config, Code),
    ?assert(byte_size(Tail) =< 8192),
    ?assert(binary:match(Tail, <<"line 1999\n">>) =/= nomatch).

all_waiting_callers(Config) ->
    C = proplists:get_value(context, Config),
    Self = self(),
    Os = py_ct:helper_pid(C),
    N = 50,
    [spawn_link(fun() -> Self ! {I, py:eval(C, py_ct:stuck())} end) || I <- lists:seq(1, N)],
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= N end),
    "" = os:cmd("kill -9 " ++ integer_to_list(Os)),
    [receive {I, R} -> ?assertMatch({error, {crashed, #{signal := sigkill, pid := Os}}}, R) end
     || I <- lists:seq(1, N)].

neighbours_do_not_notice(Config) ->
    C = proplists:get_value(context, Config),
    Self = self(),
    spawn_link(fun() -> [{error, {crashed, _}} = py:exec(C, "import os; os.abort()")
                         || _ <- lists:seq(1, 10)],
                        Self ! done
               end),
    Good = [py:eval("x", #{x => I}) || I <- lists:seq(1, 500)],
    ?assertEqual([{ok, I} || I <- lists:seq(1, 500)], Good),
    receive done -> ok end.

%% What a helper started dies with it.
children_die_too(Config) ->
    C = proplists:get_value(context, Config),
    ok = py:exec(C, "import subprocess; child = subprocess.Popen(['sleep', '3600'])"),
    {ok, Child} = py:eval(C, "child.pid"),
    ?assert(py_ct:alive(Child)),
    {error, {crashed, _}} = py:exec(C, "import os; os.abort()"),
    py_ct:eventually(fun() -> not py_ct:alive(Child) end).

fifty_crashes(Config) ->
    C = proplists:get_value(context, Config),
    {error, {crashed, _}} = py:exec(C, "import os; os._exit(1)"),
    {ok, 1} = py:eval(C, "1"),
    timer:sleep(1500),
    Before = py_ct:census(),
    [begin
         {error, {crashed, _}} = py:exec(C, "import os; os._exit(1)"),
         {ok, I} = py:eval(C, "x", #{x => I})
     end || I <- lists:seq(1, 50)],
    py_ct:settled(Before).

%% Errors as maps do not change what a crash looks like.
pool_option_errors(_) ->
    {ok, [P]} = py_context_router:start_pool(mapped, 1, #{errors => map}),
    {error, #{type := <<"ValueError">>}} = py:call(mapped, math, sqrt, [-1]),
    {error, {crashed, #{exit_status := 1}}} = py:exec(P, "import os; os._exit(1)"),
    ok = py_context_router:stop_pool(mapped).

%% A context that fails even as it ends tells nobody anything: its callers know by the
%% end of its port, whose message has another form when the reason is no atom.
the_context_fails(_) ->
    the_context_fails(6, fun(C) ->
        Sleep = [C, time, sleep, [3600]],
        [fun() -> apply(py, call, Sleep ++ [#{timeout => infinity}]) end,
         fun() -> py:await(apply(py, cast, Sleep ++ [infinity]), infinity) end,
         fun() -> py:async_await(py:async_call(C, asyncio, sleep, [3600], infinity), infinity)
         end,
         fun() -> py:stream(C, time, sleep, [3600], infinity) end]
    end),
    %% Its caller waits in a channel, on behalf of Python.
    {ok, Channel} = py_channel:new(),
    the_context_fails(3, fun(C) ->
        ok = py:exec(C, "import erlang\ndef hear(term): return erlang.Channel(term).receive()"),
        [fun() -> py:call(C, '__main__', hear, [Channel], #{timeout => infinity}) end]
    end),
    ok = py_channel:close(Channel).

the_context_fails(Pending, Calls) ->
    {ok, C} = py_context:new(#{}),
    {ok, 1} = py:eval(C, "1"),
    {ready, Port, _, _, _} = py_registry:find(C),
    CourierDown = erlang:monitor(process, py_registry:courier(Port)),
    Callers = [spawn_monitor(fun() -> exit(Fun()) end) || Fun <- Calls(C), _ <- [1, 2, 3]],
    py_ct:eventually(fun() ->
                             {ok, #{stats := #{pending := N}}} = py_context:info(C),
                             N >= Pending orelse N
                     end),
    _ = sys:replace_state(C, fun({State, Data}) -> {State, Data#data{swap = broken}} end),
    true = exit(C, {no, atom}),
    [receive
         {'DOWN', Mon, process, Pid, Result} ->
             ?assertMatch({error, {context_died, _}}, Result)
     after 30000 -> ct:fail({stuck, process_info(Pid)})
     end || {Pid, Mon} <- Callers],
    receive {'DOWN', CourierDown, process, _, _} -> ok end.
