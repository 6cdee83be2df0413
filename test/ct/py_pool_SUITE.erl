%% SPDX-License-Identifier: Apache-2.0
%% @doc Pools: which one and which context serves a call, options of their own,
%% namespaces of processes, numbers.
-module(py_pool_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [registrations, registrations_end_with_the_application, bad_registrations,
     by_scheduler, sticky, least_loaded, load_of_killed_callers, load_of_crashed_contexts,
     bad_options, options_of_contexts, own_runtime, own_runtime_from_configuration,
     of_the_configuration,
     a_place_is_taken_again, router_killed, shared_namespace, namespaces_of_processes,
     namespaces_end_with_their_process, stats, stats_survive_crashes, info].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    {ok, 4.0} = py:call(math, sqrt, [16]),
    Config.

end_per_testcase(_, _) ->
    ok = py_ct:stop(),
    ?assertEqual([], py_ct:mailbox()).

pool(Name, Size, Options) ->
    {ok, _} = py_context_router:start_pool(Name, Size, Options),
    ok.

pid_of(Target) ->
    {ok, Pid} = py:call(Target, os, getpid, []),
    Pid.

%%% Which pool

registrations(_) ->
    ok = pool(io, 1, #{}),
    ok = pool(cpu, 1, #{}),
    [Default, Io, Cpu] = Pids = [pid_of(P) || P <- [default, io, cpu]],
    ?assertEqual(3, length(lists:usort(Pids))),
    {ok, Default} = py:call(os, getpid, []),
    ok = py:register_pool(io, os),
    {ok, Io} = py:call(os, getpid, []),
    {ok, Io} = py:call(<<"os">>, "getpid", []),
    {ok, Io} = py:call(os, getpid, [], #{}, 5000),
    ok = py:register_pool(cpu, {os, getpid}),
    {ok, Cpu} = py:call(os, getpid, []),
    {ok, Zygote} = py:call(io, os, getppid, []),
    {ok, Zygote} = py:call(os, getppid, []),
    %% Whoever says where is not sent elsewhere.
    {ok, Default} = py:call(py:context(1), os, getpid, []),
    {ok, Default} = py:call(default, os, getpid, []),
    {ok, Default} = py:eval("__import__('os').getpid()"),
    ?assertEqual(cpu, py_context_router:lookup_pool("os", getpid)),
    ?assertEqual(io, py_context_router:lookup_pool(os, getppid)),
    ?assertEqual(default, py_context_router:lookup_pool(math, sqrt)),
    ?assertEqual([{{os, '_'}, io}, {{os, getpid}, cpu}],
                 py_context_router:list_pool_registrations()),
    ok = py:unregister_pool({os, getpid}),
    {ok, Io} = py:call(os, getpid, []),
    ok = py:unregister_pool(<<"os">>),
    {ok, Default} = py:call(os, getpid, []),
    ok = py:unregister_pool(os),
    ?assertEqual([], py_context_router:list_pool_registrations()).

registrations_end_with_the_application(_) ->
    ok = py_context_router:register_pool(nowhere, math),
    ok = py_context_router:register_pool(nowhere, json, dumps),
    ?assertEqual({error, {no_pool, nowhere}}, py:call(math, sqrt, [16])),
    ?assertEqual({error, {no_pool, nowhere}}, py:call(json, dumps, [1])),
    {ok, 1} = py:call(json, loads, [<<"1">>]),
    ok = py_context_router:unregister_pool(json, dumps),
    {ok, <<"1">>} = py:call(json, dumps, [1]),
    ok = py_ct:start([{contexts, 1}]),
    ?assertEqual({ok, 4.0}, py:call(math, sqrt, [16])).

bad_registrations(_) ->
    ?assertEqual({error, {invalid, pool, "io"}}, py:register_pool("io", math)),
    ?assertEqual({error, {invalid, module, 7}}, py:register_pool(io, 7)),
    ?assertEqual({error, {invalid, module, {math, 7}}}, py:register_pool(io, {math, 7})),
    ?assertEqual({error, {invalid, module, <<>>}}, py:unregister_pool(<<>>)),
    ?assertEqual({error, {invalid, module, 7}}, py:call(7, sqrt, [16])),
    ok = py_ct:stop(),
    ?assertEqual({error, not_started}, py:register_pool(io, math)).

%%% Which context

by_scheduler(_) ->
    ok = pool(many, 3, #{routing => scheduler}),
    Contexts = py_context_router:contexts(many),
    {ok, Mine} = py_context_router:get_context(many),
    ?assert(lists:member(Mine, Contexts)),
    ?assertEqual(3, py_context_router:num_contexts(many)),
    ?assertEqual({ok, lists:last(Contexts)}, py_context_router:nth(many, 3)),
    ?assertEqual({error, {invalid, context, 4}}, py_context_router:nth(many, 4)).

sticky(_) ->
    ok = pool(many, 4, #{routing => sticky}),
    Used = py_ct:parallel(40, fun(_) ->
                                      Pids = [pid_of(many) || _ <- lists:seq(1, 20)],
                                      [Pid] = lists:usort(Pids),
                                      Pid
                              end),
    ?assert(length(lists:usort(Used)) > 1),
    ?assertEqual(4, length(py_context_router:contexts(many))),
    Other = lists:last(py_context_router:contexts(many)),
    ok = py_context_router:bind_context(many, Other),
    ?assertEqual({ok, Other}, py_context_router:get_context(many)),
    ok = py_context_router:unbind_context(many).

%% A caller that waits in the context `C'.
occupy(C) ->
    Self = self(),
    {Pid, _} = spawn_monitor(fun() -> Self ! {self(), py:eval(C, py_ct:stuck())} end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) > 0 end),
    Pid.

release(Pid) ->
    exit(Pid, kill),
    receive {'DOWN', _, process, Pid, killed} -> ok end.

least_loaded(_) ->
    ok = pool(many, 3, #{routing => least_loaded}),
    [A, B, C] = py_context_router:contexts(many),
    [pid_of(X) || X <- [A, B, C]],
    Busy = [occupy(A), occupy(C)],
    ?assertEqual([{ok, B}], lists:usort([py_context_router:get_context(many)
                                         || _ <- lists:seq(1, 100)])),
    Pid = pid_of(B),
    ?assertEqual([Pid], lists:usort([hd(py_ct:parallel(1, fun(_) -> pid_of(many) end))
                                     || _ <- lists:seq(1, 10)])),
    More = [occupy(B), occupy(B)],
    ?assert(lists:member(py_context_router:get_context(many), [{ok, A}, {ok, C}])),
    [release(P) || P <- Busy ++ More].

%% A caller that is killed in any moment leaves no trace in the count.
load_of_killed_callers(_) ->
    ok = pool(many, 2, #{routing => least_loaded}),
    [A, B] = py_context_router:contexts(many),
    _ = [pid_of(X) || X <- [A, B]],
    _ = [begin
             Callers = [spawn(fun() -> py:eval(many, "sum(range(100000))") end)
                        || _ <- lists:seq(1, 10)],
             erlang:yield(),
             [exit(P, kill) || P <- Callers]
         end || _ <- lists:seq(1, 30)],
    py_ct:eventually(fun() -> py_SUITE:pending(A) + py_SUITE:pending(B) =:= 0 end),
    P1 = occupy(A),
    {ok, B} = py_context_router:get_context(many),
    P2 = occupy(B),
    release(P1),
    py_ct:eventually(fun() -> py_SUITE:pending(A) =:= 0 end),
    {ok, A} = py_context_router:get_context(many),
    release(P2).

load_of_crashed_contexts(_) ->
    ok = pool(many, 2, #{routing => least_loaded, restart => #{free => 100}}),
    [A, B] = py_context_router:contexts(many),
    _ = [begin
             {error, {crashed, _}} = py:eval(A, "__import__('os')._exit(1)"),
             {ok, 1} = py:eval(A, "1")
         end || _ <- lists:seq(1, 5)],
    P = occupy(B),
    ?assertEqual({ok, A}, py_context_router:get_context(many)),
    exit(A, kill),
    py_ct:eventually(fun() -> not lists:member(A, py_context_router:contexts(many)) end),
    [New, B] = py_context_router:contexts(many),
    ?assertEqual({ok, New}, py_context_router:get_context(many)),
    ?assertEqual({ok, 1}, py:eval(many, "1")),
    release(P).

%%% Options

bad_options(_) ->
    Bad = [{routing, random}, {preload, json}, {spares, -1}, {python, 3}, {venv, venv},
           {recycle, 5}, {recycle, #{calls => 0}}, {recycle, #{age => 1 bsl 40}},
           {recycle, #{days => 1}}, {namespace, caller}, {place, 1}, {cwd, 1}],
    [?assertEqual({K, {error, {invalid, K, V}}},
                  {K, py_context_router:start_pool(bad, 1, #{K => V})}) || {K, V} <- Bad],
    ?assertEqual({error, {invalid, options, x}}, py_context_router:start_pool(bad, 1, x)),
    ?assertEqual({error, {invalid, contexts, 0}}, py_context_router:start_pool(bad, 0)),
    ?assertEqual({error, {invalid, pool, "bad"}}, py_context_router:start_pool("bad", 1)),
    ?assertMatch({error, {too_many_contexts, 4096}},
                 py_context_router:start_pool(bad, 4096, #{routing => least_loaded})),
    ?assertNot(py_context_router:pool_started(bad)),
    ok = py_ct:stop(),
    ?assertMatch({error, {{invalid, pools, {x, routing, never}}, _}},
                 py_ct:start([{pools, #{x => #{size => 1, routing => never}}}])).

options_of_contexts(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    ok = file:write_file(filename:join(Dir, "of_this_pool.py"), "name = 'pool'\n"),
    ok = pool(own, 2, #{env => #{"WHERE" => "here"}, cwd => Dir, paths => [Dir],
                        imports => [of_this_pool], errors => map}),
    [begin
         ?assertEqual({ok, <<"here">>}, py:call(C, os, getenv, [<<"WHERE">>])),
         ?assertEqual({ok, unicode:characters_to_binary(Dir)},
                      py:eval(C, "__import__('os').path.join(__import__('os').getcwd(), '')")),
         ?assertEqual({ok, true}, py:eval(C, "'of_this_pool' in __import__('sys').modules")),
         ?assertMatch({error, #{type := <<"NameError">>}}, py:eval(C, "nothing"))
     end || C <- py_context_router:contexts(own)],
    ?assertEqual({ok, none}, py:call(os, getenv, [<<"WHERE">>])).

own_runtime(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    ok = file:write_file(filename:join(Dir, "heavy_of_pool.py"), "import os\npid = os.getpid()\n"),
    ok = pool(heavy, 2, #{preload => [heavy_of_pool], spares => 1, paths => [Dir]}),
    %% `paths' is an option of contexts, and not there yet when the zygote preloads.
    ?assertMatch({error, {runtime_failed, pool_heavy, _}}, py:eval(heavy, "1")),
    ok = py_context_router:stop_pool(heavy),
    ok = pool(heavy, 2, #{preload => [json, <<"statistics">>], spares => 1}),
    [Zygote] = lists:usort([element(2, py:call(C, os, getppid, []))
                            || C <- py_context_router:contexts(heavy)]),
    {ok, #{os_pid := Zygote, helpers := 2}} =
        py_runtime:info(maps:get(runtime, hd(py_context_router:infos(heavy)))),
    ?assertEqual({ok, true}, py:eval(heavy, "'statistics' in __import__('sys').modules")),
    ?assertEqual({ok, false}, py:eval("'statistics' in __import__('sys').modules")),
    ok = py_context_router:stop_pool(heavy),
    py_ct:eventually(fun() -> not py_ct:alive(Zygote) end),
    py_ct:eventually(fun() -> [default] =:= [N || {N, _} <- py_registry:runtimes()] end).

own_runtime_from_configuration(_) ->
    ok = py_ct:start([{contexts, 1},
                      {runtimes, #{default => #{}, base => #{env => #{"BASE" => "1"}}}},
                      {pools, #{ml => #{size => 2, runtime => base, preload => [json],
                                        routing => least_loaded}}}]),
    ?assertEqual({ok, <<"1">>}, py:call(ml, os, getenv, [<<"BASE">>])),
    ?assertEqual({ok, true}, py:eval(ml, "'json' in __import__('sys').modules")),
    ?assertNotEqual(py_ct:zygote_pid(base), element(2, py:call(ml, os, getppid, []))).

%% Nothing of it is left: not the pools that it was asked for, nor what they serve.
router_killed(_) ->
    ok = pool(own, 1, #{}),
    ok = py:register_pool(own, math),
    Router = whereis(py_context_router),
    exit(Router, kill),
    py_ct:eventually(fun() -> {ok, 4.0} =:= py:call(math, sqrt, [16]) end),
    ?assertNotEqual(Router, whereis(py_context_router)),
    ?assertEqual({error, {no_pool, own}}, py:call(own, math, sqrt, [16])),
    ?assertEqual([], py_context_router:list_pool_registrations()),
    ok = pool(own, 1, #{}),
    ?assertEqual({ok, 4.0}, py:call(own, math, sqrt, [16])).

a_place_is_taken_again(_) ->
    ok = pool(own, 2, #{env => #{"WHERE" => "here"}, routing => sticky}),
    [A, B] = py_context_router:contexts(own),
    exit(A, kill),
    py_ct:eventually(fun() -> not lists:member(A, py_context_router:contexts(own)) end),
    [New, B] = py_context_router:contexts(own),
    ?assertEqual({ok, <<"here">>}, py:call(New, os, getenv, [<<"WHERE">>])).

%%% Namespaces

shared_namespace(_) ->
    ok = py:exec("shared = 1"),
    ?assertEqual([{ok, 1}], py_ct:parallel(1, fun(_) -> py:eval("shared") end)).

namespaces_of_processes(_) ->
    ok = pool(own, 1, #{namespace => process}),
    ok = py:exec(own, "import math\nx = 0\ndef f(k=1):\n    return x * k\nclass K: n = 5"),
    Each = fun(N) ->
                   {error, {"NameError", _}} = py:eval(own, "x"),
                   {error, {"AttributeError", _}} = py:call(own, '__main__', f, []),
                   ok = py:exec(own, ["x = ", integer_to_list(N), "\ndef f(k=1): return x * k"]),
                   {ok, Ten} = py:call(own, '__main__', f, [], #{kwargs => #{k => 10}}),
                   {ok, Sum} = py:eval(own, "x + y + len('abc')", #{y => 1}),
                   {Ten, Sum, py:eval(own, "__name__")}
           end,
    ?assertEqual([{N * 10, N + 4, {ok, <<"__main__">>}} || N <- lists:seq(1, 20)],
                 py_ct:parallel(20, Each)),
    ?assertEqual({ok, 0}, py:call(own, "__main__", "f", [])),
    ?assertEqual({ok, 5}, py:eval(own, "K.n")),
    ?assertEqual({ok, <<"int">>}, py:call(own, '__main__', 'x.__class__.__name__.strip', [])),
    %% Other modules, and other contexts, are shared as ever.
    ?assertEqual({ok, 2.0}, py:call(own, math, sqrt, [4])),
    ?assertMatch({error, {"NameError", _}}, py:eval("x")),
    %% Names are lost with the helper, as they always are.
    {error, {crashed, _}} = py:call(own, os, '_exit', [1]),
    ?assertMatch({error, {"NameError", _}}, py:eval(own, "x")),
    ok = py:exec(own, "x = 2"),
    ?assertEqual({ok, 2}, py:eval(own, "x")).

%% One that can not be started is missed in the log, and the others run.
of_the_configuration(_) ->
    Most = #{size => 4096, routing => least_loaded},
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => error, config => #{to => self()}}),
    ok = py_ct:start([{pools, #{many => Most, one => #{size => 1}}}]),
    ok = logger:remove_handler(?MODULE),
    receive {logged, {_, [many, {too_many_contexts, 4096}]}} -> ok after 0 -> ct:fail(no_log) end,
    ?assertEqual([default, one], lists:sort(py_context_router:pools())),
    [?assertMatch({error, {invalid, pools, _}},
                  terrarium_config:validate([{pools, #{p => #{size => Size}}}]))
     || Size <- [0, 4097, x]].

log(#{msg := Message}, #{config := #{to := To}}) ->
    To ! {logged, Message}.

namespaces_end_with_their_process(_) ->
    {ok, C} = py_context:new(#{namespace => process}),
    Before = ets:info(py_namespaces, size),
    ok = py:exec(C, "import builtins\nbuiltins.ended = []\n"
                    "class Thing:\n    def __init__(self, n): self.n = n\n"
                    "    def __del__(self): builtins.ended.append(self.n)\n"
                    "builtins.Thing = Thing"),
    _ = py_ct:parallel(10, fun(N) -> py:exec(C, ["thing = Thing(", integer_to_list(N), ")"]) end),
    py_ct:eventually(fun() ->
                             {ok, Ended} = py:eval(C, "sorted(ended)"),
                             Ended =:= lists:seq(1, 10) orelse Ended
                     end),
    ?assertEqual(Before + 1, ets:info(py_namespaces, size)),
    %% Two that work for one process of another node may ask at once.
    [One, One] = [gen_server:call(py_namespace, {claim, C, self()}) || _ <- [1, 2]],
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> ets:info(py_namespaces, size) =:= Before - 1 end).

%%% Numbers

stats(_) ->
    ok = pool(own, 2, #{}),
    [A, B] = py_context_router:contexts(own),
    [{ok, 1} = py:eval(C, "1") || C <- [A, B], _ <- lists:seq(1, 50)],
    [{error, {"NameError", _}} = py:eval(A, "nothing") || _ <- lists:seq(1, 3)],
    {error, timeout} = py:call(B, time, sleep, [60], #{timeout => 30}),
    {ok, S} = py:stats(own),
    ?assertMatch(#{contexts := 2, ready := 2, requests := 104, answers := 100, errors := 4,
                   crashes := 0, restarts := 0, renewals := 0, queue := 0}, S),
    #{rss := Rss, latency := Latency, p50_us := P50, p99_us := P99, bytes_in := In} = S,
    ?assert(Rss > 1000000),
    ?assert(In > 0),
    ?assert(P50 =< P99),
    ?assert(lists:sum([N || {_, N} <- Latency]) >= 4),
    ?assert(lists:any(fun({Below, _}) -> Below > 30000 end, Latency)),
    {ok, #{requests := 53, errors := 3, contexts := 1}} = py:stats(A),
    #{pools := #{own := #{requests := 104}, default := #{requests := 1}},
      total := #{contexts := 3, requests := 105}} = py:stats(),
    ?assertEqual({error, {no_pool, other}}, py:stats(other)),
    ok = py_context:stop(A),
    ?assertMatch({error, {context_died, _}}, py:stats(A)),
    P = occupy(B),
    {ok, #{queue := 1}} = py:stats(B),
    release(P).

stats_survive_crashes(_) ->
    C = py:context(1),
    {ok, #{requests := N}} = py:stats(C),
    [{ok, 1} = py:eval(C, "1") || _ <- lists:seq(1, 10)],
    {error, {crashed, _}} = py:call(C, os, abort, []),
    [{ok, 1} = py:eval(C, "1") || _ <- lists:seq(1, 10)],
    ok = py_context:renew(C),
    [{ok, 1} = py:eval(C, "1") || _ <- lists:seq(1, 10)],
    py_ct:eventually(fun() ->
                             {ok, S} = py:stats(C),
                             S0 = N + 31,
                             S1 = N + 30,
                             case S of
                                 #{requests := S0, answers := S1, crashes := 1, restarts := 1,
                                   renewals := 1, queue := 0} -> true;
                                 _ -> S
                             end
                     end).

info(_) ->
    C = py:context(1),
    ok = py:exec(C, "for i in range(3000000): pass"),
    {ok, #{process := #{rss := Rss, user_ms := User, system_ms := System}, os_pid := OsPid,
           retired := 0, total := #{latency := Latency}}} = py_context:info(C),
    ?assert(User > 0),
    ?assert(System >= 0),
    ?assertEqual(28, length(Latency)),
    Pss = py_context_stats:pss(OsPid),
    ?assert(Pss =:= none orelse Pss =< Rss).
