%% SPDX-License-Identifier: Apache-2.0
%% @doc Timeouts end the code, only that code, and never leave anything.
-module(py_timeout_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 4}}].

all() ->
    [{group, interruptible}, stubborn_python, stuck_in_c, stack_is_told, queued_never_run,
     zero_timeout, timeout_then_crash, busy_port, thousand_callers,
     interrupted_import].

groups() ->
    [{interruptible, [], [sleep, lock, loop, blocking_read, subprocess, select]}].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {grace_ms, 2000}, {restart, #{free => 1000}}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{}),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    C = proplists:get_value(context, Config),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ok = py_context:stop(C),
    ?assertEqual([], py_ct:mailbox()).

%% The code ends without the helper being killed, and says where it was.
interrupted(Config, Code) ->
    C = proplists:get_value(context, Config),
    Os = py_ct:helper_pid(C),
    ?assertEqual({error, timeout}, py:exec(C, Code, 200)),
    ?assertEqual(Os, py_ct:helper_pid(C)),
    #{type := <<"KeyboardInterrupt">>, traceback := _, stack := Stack} = py:last_error(),
    ?assert(binary:match(Stack, <<"<exec">>) =/= nomatch).

sleep(Config) ->
    interrupted(Config, "import time\ntime.sleep(3600)").

lock(Config) ->
    interrupted(Config, "import threading\nl = threading.Lock()\nl.acquire()\nl.acquire()").

loop(Config) ->
    interrupted(Config, "while True: pass").

blocking_read(Config) ->
    interrupted(Config, "import os\nr, w = os.pipe()\nos.read(r, 1)").

subprocess(Config) ->
    interrupted(Config, "import subprocess\nsubprocess.run(['sleep', '3600'])").

select(Config) ->
    interrupted(Config, "import select\nselect.select([], [], [], 3600)").

%% Code that will not end is killed after the grace.
stubborn_python(_) ->
    {ok, C} = py_context:new(#{grace_ms => 300}),
    Os = py_ct:helper_pid(C),
    Code = "import time\nwhile True:\n    try:\n        time.sleep(3600)\n"
           "    except KeyboardInterrupt:\n        pass",
    ?assertEqual({error, timeout}, py:exec(C, Code, 200)),
    #{type := <<"crashed">>, report := #{signal := sigkill, reason := timeout}} = py:last_error(),
    ?assertNotEqual(Os, py_ct:helper_pid(C)),
    ok = py_context:stop(C).

stuck_in_c(_) ->
    {ok, C} = py_context:new(#{grace_ms => 300}),
    Code = "import ctypes, signal\nctypes.PyDLL(None).sigsuspend(ctypes.create_string_buffer("
           "b'\\xff' * 128))",
    ?assertEqual({error, timeout}, py:exec(C, Code, 200)),
    #{report := #{signal := sigkill}} = py:last_error(),
    {ok, 2} = py:eval(C, "1 + 1"),
    ok = py_context:stop(C).

stack_is_told(Config) ->
    C = proplists:get_value(context, Config),
    Code = "import time\ndef the_slow_part():\n    time.sleep(3600)\nthe_slow_part()",
    {error, timeout} = py:exec(C, Code, 200),
    #{stack := Stack} = py:last_error(),
    ?assert(binary:match(Stack, <<"the_slow_part">>) =/= nomatch).

%% A request whose caller gave up before it started leaves no trace.
queued_never_run(Config) ->
    C = proplists:get_value(context, Config),
    Self = self(),
    ok = py:exec(C, "import signal\ngo = {signal.SIGUSR1}\n"
                    "signal.pthread_sigmask(signal.SIG_BLOCK, go)"),
    Os = py_ct:helper_pid(C),
    spawn_link(fun() -> Self ! {long, py:exec(C, "signal.sigwait(go)")} end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= 1 end),
    ok_or_timeout = case py:exec(C, "ran = True", 100) of
                        {error, timeout} -> ok_or_timeout;
                        Other -> Other
                    end,
    #{type := <<"timeout">>} = py:last_error(),
    "" = os:cmd("kill -USR1 " ++ integer_to_list(Os)),
    receive {long, R} -> ?assertEqual(ok, R) end,
    {error, {"NameError", _}} = py:eval(C, "ran").

zero_timeout(Config) ->
    C = proplists:get_value(context, Config),
    [case py:exec(C, "x = 1", 0) of
         ok -> ok;
         {error, timeout} -> ok
     end || _ <- lists:seq(1, 200)].

timeout_then_crash(Config) ->
    C = proplists:get_value(context, Config),
    {error, timeout} = py:exec(C, py_ct:stuck(), 50),
    {error, {crashed, #{exit_status := 7}}} = py:exec(C, "import os; os._exit(7)").

%% More than the port takes: callers wait, some give up, nothing is lost.
busy_port(Config) ->
    C = proplists:get_value(context, Config),
    Bin = binary:copy(<<"x">>, 1 bsl 20),
    Self = self(),
    spawn_link(fun() -> Self ! {long, py:exec(C, "import time; time.sleep(2)")} end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= 1 end),
    Results = py_ct:parallel(40, fun(I) ->
                                         Timeout = case I rem 4 of
                                                       0 -> 100;
                                                       _ -> 60000
                                                   end,
                                         R = py:call(C, builtins, len, [Bin],
                                                     #{timeout => Timeout}),
                                         {R, py_ct:mailbox()}
                                 end),
    [case I rem 4 of
         0 -> ?assertEqual({{error, timeout}, []}, R);
         _ -> ?assertEqual({{ok, 1 bsl 20}, []}, R)
     end || {I, R} <- lists:enumerate(Results)],
    receive {long, ok} -> ok end.

%% No interrupt ever hits another caller's request.
thousand_callers(Config) ->
    C = proplists:get_value(context, Config),
    ok = py:exec(C, "import time\ndef work(nonce, pause):\n"
                    "    end = time.monotonic() + pause\n"
                    "    while time.monotonic() < end: pass\n    return nonce"),
    Results = py_ct:parallel(1000, fun(I) -> caller(C, I, 4) end),
    Flat = lists:append(Results),
    Wrong = [R || R <- Flat, R =/= right, R =/= timeout],
    ?assertEqual([], Wrong),
    ?assert(lists:member(right, Flat)),
    ?assert(lists:member(timeout, Flat)).

caller(C, I, Rounds) ->
    [begin
         Nonce = {I, Round, rand:uniform(1 bsl 60)},
         Timeout = case rand:uniform(3) of
                       1 -> rand:uniform(20);
                       2 -> rand:uniform(3000);
                       3 -> 100000
                   end,
         Pause = rand:uniform() / 250,
         case py:call(C, '__main__', work, [Nonce, Pause], #{timeout => Timeout}) of
             {ok, Nonce} -> right;
             {error, timeout} when Timeout < 100000 -> timeout;
             Other -> {Timeout, Nonce, Other}
         end
     end || Round <- lists:seq(1, Rounds)].

%% The module is imported again by the next call; a submodule that was there stays,
%% and is no attribute of the new package, until it is taken away as well.
interrupted_import(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "package_of_ct"),
    Gate = filename:join(Dir, "gate"),
    ok = filelib:ensure_dir(Gate),
    ok = file:write_file(filename:join(Dir, "part.py"), "def f(): return 7\n"),
    ok = file:write_file(filename:join(Dir, "__init__.py"),
                         ["import os, time, package_of_ct.part\n"
                          "while not os.path.exists('", Gate, "'): time.sleep(0.01)\n"
                          "def through(): return package_of_ct.part.f()\n"
                          "def from_modules():\n"
                          "    from package_of_ct import part\n"
                          "    return part.f()\n"]),
    {ok, C} = py_context:new(#{paths => [filename:dirname(Dir)], imports => [sys]}),
    Call = fun(F, T) -> py:call(C, package_of_ct, F, [], #{timeout => T}) end,
    There = "[n for n in sorted(sys.modules) if n.startswith('package_of_ct')]",
    ok = py:exec(C, "import sys"),
    ?assertEqual({error, timeout}, Call(through, 300)),
    ?assertEqual({ok, [<<"package_of_ct.part">>]}, py:eval(C, There)),
    ok = file:write_file(Gate, <<>>),
    ?assertEqual({ok, 7}, Call(from_modules, 60000)),
    ?assertMatch({error, {"AttributeError", _}}, Call(through, 60000)),
    ok = py:exec(C, "for name in [n for n in sys.modules if n.split('.')[0] == 'package_of_ct']:\n"
                    "    del sys.modules[name]\n"),
    ?assertEqual({ok, 7}, Call(through, 60000)),
    %% Or a fresh helper.
    ok = file:delete(Gate),
    ok = py_context:renew(C),
    ?assertEqual({error, timeout}, Call(through, 300)),
    ok = file:write_file(Gate, <<>>),
    ok = py_context:renew(C),
    ?assertEqual({ok, 7}, Call(through, 60000)),
    ok = py_context:stop(C).
