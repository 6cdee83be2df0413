%% SPDX-License-Identifier: Apache-2.0
%% @doc Runtimes and the application around them: configuration, zygotes that
%% die or can not start, stop and start again.
-module(py_runtime_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 4}}].

all() ->
    [bad_configuration, defaults, several_runtimes, preloaded_modules, runtime_environment,
     zygote_killed, zygote_killed_while_starting_contexts, failing_preload, unknown_python,
     linked_python,
     recovers_when_it_can, stop_and_start, stop_and_start_under_load,
     driver_is_unloaded, configured_pools,
     back_off_policy, inherited_sockets, helpers_end_with_the_zygote,
     under_the_launcher, owed_answers, silent_zygote].

end_per_testcase(_, _) ->
    ok = py_ct:stop(),
    ?assertEqual([], py_ct:mailbox()).

bad_configuration(_) ->
    Bad = [{runtimes, []}, {runtimes, #{}}, {runtimes, #{"x" => #{}}},
           {runtimes, #{x => #{colour => red}}}, {runtimes, #{x => #{spares => -1}}},
           {runtimes, #{x => #{preload => json}}}, {contexts, 0}, {contexts, many},
           {start_contexts, 1}, {pools, #{x => #{}}}, {pools, x}, {call_timeout, -1},
           {exec_timeout, never}, {grace_ms, x}, {start_timeout, 0}, {stop_timeout, infinity},
           {max_frame, 10}, {max_depth, 100000}, {restart, #{free => x}}, {restart, 1},
           {log_output, 1}, {no_such_key, 1}],
    [?assertMatch({K, {error, {{invalid, K, V}, _}}}, {K, py_ct:start([{K, V}])})
     || {K, V} <- Bad],
    ?assertMatch({error, {{invalid, pools, {x, colour, red}}, _}},
                 py_ct:start([{pools, #{x => #{size => 1, colour => red}}}])).

defaults(_) ->
    {ok, Config} = terrarium_config:validate([]),
    ?assertEqual(Config, terrarium_config:defaults()),
    {ok, #{runtimes := #{a := #{python := <<"3.11">>, preload := [<<"json">>, <<"ast">>]}}}} =
        terrarium_config:validate([{runtimes, #{a => #{python => "3.11",
                                                       preload => [json, "ast"]}}}]),
    %% They hold before the application starts, and when it has ended.
    ok = py_ct:start([{start_contexts, false}, {call_timeout, 7}]),
    ?assertEqual(7, terrarium_config:get(call_timeout)),
    ok = py_ct:stop(),
    ?assertEqual(30000, terrarium_config:get(call_timeout)).

several_runtimes(_) ->
    ok = py_ct:start([{start_contexts, false},
                      {runtimes, #{one => #{preload => [json]}, two => #{env => #{"N" => "2"}}}}]),
    {ok, A} = py_context:new(#{runtime => one}),
    {ok, B} = py_context:new(#{runtime => two}),
    {ok, Pa} = py:eval(A, "__import__('os').getppid()"),
    {ok, Pb} = py:eval(B, "__import__('os').getppid()"),
    ?assertEqual([Pa, Pb], [py_ct:zygote_pid(one), py_ct:zygote_pid(two)]),
    ?assertEqual({ok, true}, py:eval(A, "'json' in __import__('sys').modules")),
    ?assertEqual({ok, <<"2">>}, py:call(B, os, getenv, [<<"N">>])),
    ?assertEqual({ok, none}, py:call(A, os, getenv, [<<"N">>])).

preloaded_modules(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    ok = file:write_file(filename:join(Dir, "heavy_of_ct.py"),
                         "import os\npid = os.getpid()\n"),
    ok = other(#{preload => ["heavy_of_ct"], paths => [Dir]}, []),
    Zygote = py_ct:zygote_pid(other),
    ?assertEqual({ok, Zygote}, py:eval(pool, "__import__('heavy_of_ct').pid")).

%% What the launcher's variable says is not for programs that the VM starts;
%% where it does not tell the truth, the runtime is started from here.
runtime_environment(_) ->
    os:putenv("TERRARIUM_RUNTIMES", "other=999"),
    ok = other(#{}, []),
    ?assertEqual(false, os:getenv("TERRARIUM_RUNTIMES")),
    ?assertEqual({ok, none}, py:call(pool, os, getenv, [<<"TERRARIUM_RUNTIMES">>])).

zygote_killed(_) ->
    ok = py_ct:start([{contexts, 2}, {restart, #{free => 1000}}]),
    [begin
         [{ok, I} = py:eval(C, "x", #{x => I}) || C <- py_context_router:contexts()],
         Zygote = py_ct:zygote_pid(default),
         Helpers = [py_ct:helper_pid(C) || C <- py_context_router:contexts()],
         Self = self(),
         C1 = py:context(1),
         spawn_link(fun() -> Self ! {busy, py:eval(C1, py_ct:stuck())} end),
         py_ct:eventually(fun() -> py_SUITE:pending(C1) =:= 1 end),
         "" = os:cmd("kill -9 " ++ integer_to_list(Zygote)),
         receive {busy, R} -> ?assertMatch({error, {crashed, _}}, R) end,
         [{ok, I} = py:eval(C, "x", #{x => I}) || C <- py_context_router:contexts()],
         ?assertNotEqual(Zygote, py_ct:zygote_pid(default)),
         py_ct:eventually(fun() -> not lists:any(fun py_ct:alive/1, [Zygote | Helpers]) end)
     end || I <- lists:seq(1, 5)].

zygote_killed_while_starting_contexts(_) ->
    ok = py_ct:start([{start_contexts, false}, {restart, #{free => 1000}}]),
    {ok, C} = py_context:new(#{}),
    ok = py_context:stop(C),
    Self = self(),
    Killer = spawn_link(fun() -> killer(Self, 10) end),
    Results = py_ct:parallel(30, fun(I) ->
                                         {ok, X} = py_context:new(#{}),
                                         R = retry(X, I, 100),
                                         ok = py_context:stop(X),
                                         R
                                 end),
    ?assertEqual([{ok, I} || I <- lists:seq(1, 30)], Results),
    receive {killed, Killer} -> ok end.

%% A crash is an answer too; what counts is that the context comes back.
retry(X, I, Left) ->
    case py:eval(X, "x", #{x => I}) of
        {ok, I} -> {ok, I};
        {error, _} when Left > 0 -> timer:sleep(50), retry(X, I, Left - 1);
        Other -> Other
    end.

killer(Parent, 0) ->
    Parent ! {killed, self()};
killer(Parent, N) ->
    case py_runtime:info(default) of
        {ok, #{os_pid := Pid, status := up}} -> os:cmd("kill -9 " ++ integer_to_list(Pid));
        _ -> ok
    end,
    timer:sleep(50),
    killer(Parent, N - 1).

failing_preload(_) ->
    ok = other(#{preload => [no_such_module_at_all]}, []),
    {error, {runtime_failed, other, Why}} = eval(),
    ?assert(is_binary(Why)),
    ?assert(binary:match(Why, <<"no_such_module_at_all">>) =/= nomatch),
    {error, {runtime_failed, other, _}} = py_context:new(#{runtime => other}).

unknown_python(_) ->
    Dead = [{#{python => "3.1"}, {not_built, "terrarium_py-3.1"}},
            {#{python => "/no/such/python3.11"}, {no_python, <<"/no/such/python3.11">>}},
            {#{venv => "/no/venv"}, {no_venv, <<"/no/venv">>}}],
    [begin
         ok = other(Options, []),
         ?assertEqual({error, {runtime_failed, other, Why}}, eval()),
         ok = py_ct:stop()
     end || {Options, Why} <- Dead].

%% The version is in the name that links lead to.
linked_python(Config) ->
    Dir = filename:join([proplists:get_value(priv_dir, Config), ?MODULE, "bin"]),
    [Last, Python3, Python, Loop] =
        [filename:join(Dir, Name) || Name <- ["python3.9", "python3", "python", "python2"]],
    ok = filelib:ensure_dir(Last),
    ok = file:write_file(Last, <<>>),
    ok = file:make_symlink("python3.9", Python3),
    ok = file:make_symlink(Python3, Python),
    ok = file:make_symlink("python2", Loop),
    Version = fun(Path) ->
                      py_runtime_cmd:version(#{python => unicode:characters_to_binary(Path)})
              end,
    [?assertEqual({ok, "3.9"}, Version(Path)) || Path <- [Last, Python3, Python]],
    ?assertMatch({error, {no_python, _}}, Version(Loop)).

%% A runtime that could not start is tried again until it can.
recovers_when_it_can(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "late"),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    ok = other(#{preload => [late_module_of_ct], paths => [Dir]},
               [{restart, #{free => 0, min_backoff => 50, max_backoff => 200}}]),
    {error, {runtime_failed, other, _}} = eval(),
    ok = file:write_file(filename:join(Dir, "late_module_of_ct.py"), "x = 1\n"),
    py_ct:eventually(fun() -> eval() =:= {ok, 1} end).

%% A pool of one context in a runtime that no launcher has started.
other(Runtime, Env) ->
    py_ct:start([{start_contexts, false}, {runtimes, #{other => Runtime}},
                 {pools, #{pool => #{size => 1, runtime => other}}} | Env]).

eval() ->
    py:eval(pool, "1").

stop_and_start(_) ->
    ok = py_ct:start([{contexts, 2}]),
    {ok, 1} = py:eval("1"),
    ok = py_ct:stop(),
    Before = py_ct:census(),
    [begin
         ok = py_ct:start([{contexts, 2}]),
         {ok, I} = py:eval("x", #{x => I}),
         Zygote = py_ct:zygote_pid(default),
         Helpers = [py_ct:helper_pid(C) || C <- py_context_router:contexts()],
         ok = py_ct:stop(),
         ?assertNot(lists:any(fun py_ct:alive/1, [Zygote | Helpers]))
     end || I <- lists:seq(1, 20)],
    py_ct:settled(Before).

%% The driver is unloaded and loaded again while callers are at it: each call
%% has one answer, right or an error, and nothing is left.
stop_and_start_under_load(_) ->
    ok = py_ct:start([{contexts, 2}]),
    {ok, 1} = py:eval("1"),
    ok = py_ct:stop(),
    Before = py_ct:census(),
    Self = self(),
    Callers = [spawn_link(fun() -> restless(Self, N) end) || N <- lists:seq(1, 16)],
    [begin
         ok = py_ct:start([{contexts, 2}]),
         {ok, 1} = py:eval("1"),
         timer:sleep(50),
         ok = py_ct:stop()
     end || _ <- lists:seq(1, 20)],
    [begin
         C ! stop,
         receive {C, ok} -> ok after 60000 -> ct:fail({hangs, C}) end
     end || C <- Callers],
    py_ct:settled(Before).

restless(Boss, N) ->
    Boss ! {self(), calls_until_stopped(N, 0)}.

calls_until_stopped(N, I) ->
    receive
        stop ->
            receive Stray -> exit({stray, Stray}) after 100 -> ok end
    after 0 ->
        case py:eval("x", #{x => {N, I}}) of
            {ok, {N, I}} -> ok;
            {ok, Other} -> exit({wrong, Other});
            {error, _} -> timer:sleep(5)
        end,
        calls_until_stopped(N, I + 1)
    end.

driver_is_unloaded(_) ->
    ok = py_ct:start([{contexts, 1}]),
    {ok, 1} = py:eval("1"),
    ?assert(loaded()),
    ok = py_ct:stop(),
    py_ct:eventually(fun() -> not loaded() end),
    ok = py_ct:start([{contexts, 1}]),
    {ok, 1} = py:eval("1").

loaded() ->
    {ok, Drivers} = erl_ddll:loaded_drivers(),
    lists:member("py_drv", Drivers).

configured_pools(_) ->
    ok = py_ct:start([{start_contexts, false}, {pools, #{io => #{size => 3, name => io}}}]),
    ?assertEqual(3, py_context_router:num_contexts(io)),
    ?assertEqual({ok, 4.0}, py:call(io, math, sqrt, [16])),
    ?assertEqual({error, {no_pool, default}}, py:call(math, sqrt, [16])).

back_off_policy(_) ->
    Policy = #{free => 2, min_backoff => 10, max_backoff => 35, stable_ms => 100},
    Failed = fun(_, {Pauses, B}) ->
                     {P, Next} = py_backoff:failed(0, B),
                     {[P | Pauses], Next}
             end,
    {Pauses, B} = lists:foldl(Failed, {[], py_backoff:new(Policy)}, lists:seq(1, 6)),
    ?assertEqual([0, 0, 10, 20, 35, 35], lists:reverse(Pauses)),
    ?assertEqual(6, py_backoff:count(B)),
    ?assertMatch({35, _}, py_backoff:failed(1050, py_backoff:up(1000, B))),
    ?assertMatch({0, _}, py_backoff:failed(1100, py_backoff:up(1000, B))).

inherited_sockets(_) ->
    ?assertEqual([{default, 5}, {ml, 6}], py_runtime_sup:inherited("default=5,ml=6")),
    ?assertEqual([], py_runtime_sup:inherited("")),
    ?assertEqual([{a, 1}], py_runtime_sup:inherited("a=1,b=,=3,c=x,,d")).

helpers_end_with_the_zygote(_) ->
    ok = py_ct:start([{contexts, 2}, {restart, #{free => 1000}}]),
    Helpers = [py_ct:helper_pid(C) || C <- py_context_router:contexts()],
    "" = os:cmd("kill -15 " ++ integer_to_list(py_ct:zygote_pid(default))),
    py_ct:eventually(fun() -> not lists:any(fun py_ct:alive/1, Helpers) end),
    [{ok, 1} = py:eval(C, "1") || C <- py_context_router:contexts()].

%% A VM under the launcher finds its zygotes, and gets them again with the same
%% options after they were killed and after the application was stopped.
under_the_launcher(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    Ebin = filename:dirname(code:which(py)),
    Launcher = filename:join(code:priv_dir(terrarium), "terrarium"),
    File = filename:join(Dir, "early.escript"),
    ok = file:write_file(File, early()),
    Port = open_port({spawn_executable, Launcher},
                     [{args, ["--runtime", "first", "--preload", "ast", "--runtime", "second",
                              "--", "escript", File, Ebin]},
                      exit_status, binary, stderr_to_stdout, {env, [{"ERL_FLAGS", false}]}]),
    {0, Output} = py_elixir_SUITE:collect(Port, <<>>),
    ?assertNotEqual(nomatch, binary:match(Output, <<"all is well">>)).

early() ->
    "#!/usr/bin/env escript\n"
    "main([Ebin]) ->\n"
    "    true = code:add_patha(Ebin),\n"
    "    [_, _] = string:lexemes(os:getenv(\"TERRARIUM_RUNTIMES\"), \",\"),\n"
    "    logger:set_primary_config(level, none),\n"
    "    {ok, _} = application:ensure_all_started(terrarium),\n"
    "    Pids = [check(first, true), check(second, false)],\n"
    "    [os:cmd(\"kill -9 \" ++ integer_to_list(P)) || P <- Pids],\n"
    "    again(100, Pids),\n"
    "    ok = application:stop(terrarium),\n"
    "    ok = application:start(terrarium),\n"
    "    [check(first, true), check(second, false)],\n"
    "    ok = application:stop(terrarium),\n"
    "    io:format(\"all is well~n\").\n"
    "check(Runtime, Preloaded) ->\n"
    "    {ok, C} = py_context:new(#{runtime => Runtime}),\n"
    "    {ok, Preloaded} = py:eval(C, \"'ast' in __import__('sys').modules\"),\n"
    "    {ok, #{os_pid := Pid}} = py_runtime:info(Runtime),\n"
    "    ok = py_context:stop(C),\n"
    "    Pid.\n"
    "again(N, Pids) when N > 0 ->\n"
    "    case [check(first, true), check(second, false)] of\n"
    "        Pids -> timer:sleep(50), again(N - 1, Pids);\n"
    "        _ -> ok\n"
    "    end.\n".

%% The clock runs from the first wish, and again from each answer while others are owed.
owed_answers(_) ->
    Send = fun(Jobs) ->
                   Added = py_runtime_jobs:add(make_ref(), self(), make_ref(), #{}, Jobs),
                   {_, _, Sent} = py_runtime_jobs:next(Added),
                   Sent
           end,
    Left = fun(Now, Jobs) -> py_runtime_jobs:patience_left(10, Now, Jobs) end,
    ?assertEqual(none, Left(0, py_runtime_jobs:new())),
    One = py_runtime_jobs:asked(100, Send(py_runtime_jobs:new())),
    ?assertEqual(5, Left(105, One)),
    Two = py_runtime_jobs:asked(103, Send(One)),
    ?assertEqual(-1, Left(111, Two)),
    {_, First} = py_runtime_jobs:spawned(1, 7, Two),
    ?assertEqual(8, Left(109, py_runtime_jobs:heard(107, First))),
    {_, Both} = py_runtime_jobs:spawned(2, 8, First),
    ?assertEqual(none, Left(109, py_runtime_jobs:heard(107, Both))),
    {[], Lost} = py_runtime_jobs:lost(Two),
    ?assertEqual(none, Left(111, Lost)).

%% A zygote that somebody stopped does not keep anybody waiting for ever.
silent_zygote(_) ->
    ok = py_ct:start([{contexts, 2}, {start_timeout, 3000}, {restart, #{free => 1000}}]),
    {ok, 1} = py:eval("1"),
    Zygote = py_ct:zygote_pid(default),
    "" = os:cmd("kill -STOP " ++ integer_to_list(Zygote)),
    py_ct:eventually(fun() -> element(1, py_context:new(#{})) =:= ok end),
    ?assertNotEqual(Zygote, py_ct:zygote_pid(default)),
    py_ct:eventually(fun() -> [] =:= [C || C <- py_context_router:contexts(),
                                           py:eval(C, "1") =/= {ok, 1}]
                     end),
    [py_context:stop(C) || {C, _} <- ets:tab2list(py_contexts),
                           not lists:member(C, py_context_router:contexts())].
