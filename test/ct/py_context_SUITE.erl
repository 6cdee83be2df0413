%% SPDX-License-Identifier: Apache-2.0
%% @doc One context: its life, its options, its owner.
-module(py_context_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [start_and_stop, start_link_forms, belongs_to_its_creator, linked_to_its_starter,
     options, bad_options, boot_errors, boot_errors_together, late_contexts, call_forms,
     isolated_namespaces, imported_once, info, interp_ids, stop_runs_atexit, stop_while_busy,
     kill_the_process, many_contexts, back_off, waits_while_starting, atoms_of_values].

init_per_suite(Config) ->
    ok = py_ct:start([{start_contexts, false}, {stop_timeout, 2000}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    %% The first helper makes the zygote's descriptors and spares settle.
    {ok, C} = py_context:new(#{}),
    ok = py_context:stop(C),
    [{census, py_ct:census()} | Config].

end_per_testcase(_, Config) ->
    py_ct:settled(proplists:get_value(census, Config)),
    ?assertEqual([], py_ct:mailbox()).

new() -> new(#{}).
new(Options) ->
    {ok, C} = py_context:new(Options),
    C.

start_and_stop(_) ->
    C = new(),
    Os = py_ct:helper_pid(C),
    ?assert(py_ct:alive(Os)),
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> not py_ct:alive(Os) end),
    ?assertNot(is_process_alive(C)),
    ok = py_context:stop(C),
    ?assertEqual({error, {context_died, noproc}}, py_context:eval(C, "1")).

start_link_forms(_) ->
    {ok, A} = py_context:start_link(1, auto),
    {ok, B} = py_context:start_link({any, term}, process, #{name => "b"}),
    ?assertEqual({ok, 2}, py_context:eval(A, "1 + 1")),
    ?assertEqual({ok, 2}, py_context:eval(B, "1 + 1")),
    ?assertEqual({error, {invalid, mode, gpu}}, py_context:start_link(1, gpu)),
    [ok = py_context:stop(C) || C <- [A, B]].

belongs_to_its_creator(_) ->
    Self = self(),
    {Creator, Mon} = spawn_monitor(fun() ->
                                           Self ! {made, new()},
                                           receive stop -> ok end
                                   end),
    C = receive {made, Made} -> Made end,
    CMon = monitor(process, C),
    {ok, 1} = py_context:eval(C, "1"),
    Creator ! stop,
    receive {'DOWN', Mon, process, _, normal} -> ok end,
    receive {'DOWN', CMon, process, _, normal} -> ok end.

linked_to_its_starter(_) ->
    Self = self(),
    {Starter, Mon} = spawn_monitor(fun() ->
                                           {ok, C} = py_context:start_link(1, auto),
                                           Self ! {made, C},
                                           receive stop -> exit(bad) end
                                   end),
    C = receive {made, Made} -> Made end,
    CMon = monitor(process, C),
    Starter ! stop,
    receive {'DOWN', Mon, process, _, bad} -> ok end,
    receive {'DOWN', CMon, process, _, bad} -> ok end.

options(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    ok = file:write_file(filename:join(Dir, "mine_of_ct.py"), "value = 17\n"),
    C = new(#{name => "opts", env => #{"A_B" => <<"c ü"/utf8>>, d => "e"},
              unset => ["HOME"], cwd => Dir, paths => [Dir], imports => [mine_of_ct, "json"],
              argv => ["prog", "x"], grace_ms => 100, max_frame => 1000000,
              max_depth => 100, restart => #{free => 1}, log_output => false}),
    ?assertEqual({ok, <<"c ü"/utf8>>}, py_context:eval(C, "__import__('os').environ['A_B']")),
    ?assertEqual({ok, false}, py_context:eval(C, "'HOME' in __import__('os').environ")),
    {ok, Cwd} = py_context:eval(C, "__import__('os').getcwd()"),
    ?assertEqual({ok, true}, py_context:call(C, os, 'path.samefile',
                                             [Cwd, unicode:characters_to_binary(Dir)])),
    ?assertEqual({ok, 17}, py_context:eval(C, "__import__('sys').modules['mine_of_ct'].value")),
    ?assertEqual({ok, [<<"prog">>, <<"x">>]}, py_context:eval(C, "__import__('sys').argv")),
    ok = py_context:stop(C).

bad_options(_) ->
    Bad = [{runtime, "x"}, {name, 1}, {env, [a]}, {env, #{a => 1}}, {cwd, 1}, {cwd, <<"a", 0>>},
           {paths, "x" ++ [{y}]}, {imports, json}, {grace_ms, -1}, {max_frame, 1}, {max_depth, 0},
           {errors, tuple}, {restart, #{free => -1}}, {restart, #{often => 1}},
           {log_output, maybe_not}, {no_such_option, 1}],
    [?assertEqual({error, {invalid, K, V}}, py_context:new(#{K => V})) || {K, V} <- Bad],
    ?assertEqual({error, {invalid, options, x}}, py_context:new(x)),
    ?assertMatch({error, {runtime_failed, nowhere, unknown}},
                 py_context:new(#{runtime => nowhere})).

boot_errors(_) ->
    ?assertMatch({error, {boot_failed, {"ModuleNotFoundError", _}}},
                 py_context:new(#{imports => [no_such_module]})),
    ?assertMatch({error, {boot_failed, {_, _}}}, py_context:new(#{cwd => "/no/such/dir"})).

%% Helpers that die at once, many together: in whatever order the ends of the
%% process, of the connection and the error itself are heard of, each context
%% tells why.
boot_errors_together(_) ->
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), py_context:new(#{cwd => "/no/such/dir"})} end)
            || _ <- lists:seq(1, 40)],
    [receive
         {Pid, Result} -> ?assertMatch({error, {boot_failed, {_, _}}}, Result)
     end || Pid <- Pids].

%% A context that comes late to its descriptors finds them as they were, though
%% the helper has ended meanwhile.
late_contexts(_) ->
    Job = make_ref(),
    Mon = make_ref(),
    {1, _, Sent} = py_runtime_jobs:next(py_runtime_jobs:add(Job, self(), Mon, #{},
                                                           py_runtime_jobs:new())),
    {#{ref := Job}, Spawned} = py_runtime_jobs:spawned(1, 77, Sent),
    {later, Ended} = py_runtime_jobs:exited(1, #{status => 70}, Spawned),
    ?assertEqual({ok, 1}, py_runtime_jobs:of_monitor(Mon, Ended)),
    {77, #{status := 70}, Adopted} = py_runtime_jobs:adopted(1, none, Ended),
    ?assertEqual(now, py_runtime_jobs:exited(1, #{status => 70}, Adopted)),
    {#{token := none}, Empty} = py_runtime_jobs:take(1, Adopted),
    ?assertEqual(0, py_runtime_jobs:count(Empty)).

call_forms(_) ->
    C = new(),
    Big = #{indent => 2},
    ?assertEqual({ok, <<"[1]">>}, py_context:call(C, json, dumps, [[1]])),
    ?assertEqual({ok, <<"[\n  1\n]">>}, py_context:call(C, json, dumps, [[1]], Big)),
    ?assertEqual({ok, <<"[\n  1\n]">>}, py_context:call(C, json, dumps, [[1]], Big, 5000)),
    ?assertEqual({ok, <<"[\n  1\n]">>},
                 py_context:call(C, json, dumps, [[1]], #{}, #{kwargs => Big, timeout => 5000})),
    ?assertEqual({ok, 1}, py_context:eval(C, "x", #{x => 1}, 5000)),
    {ok, R} = py_context:eval(C, "[1]", #{}, #{return => ref}),
    ?assertEqual({ok, none}, py_context:call_method(C, R, append, [2])),
    ?assertEqual({ok, [1, 2]}, py_context:to_term(R)),
    Other = new(),
    ?assertEqual({error, {invalid, ref, R}}, py_context:call_method(Other, R, append, [2])),
    [ok = py_context:stop(X) || X <- [C, Other]].

isolated_namespaces(_) ->
    [A, B] = [new(), new()],
    ok = py_context:exec(A, "x = 1; import json; json.mark = 1"),
    {error, {"NameError", _}} = py_context:eval(B, "x"),
    ?assertEqual({ok, false}, py_context:eval(B, "hasattr(__import__('json'), 'mark')")),
    ?assertNotEqual(py_ct:helper_pid(A), py_ct:helper_pid(B)),
    [ok = py_context:stop(X) || X <- [A, B]].

%% However many call it, and with whatever.
imported_once(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), ?MODULE),
    Module = filename:join(Dir, "counts_imports.py"),
    Count = filename:join(Dir, "imports"),
    ok = filelib:ensure_dir(Module),
    ok = file:write_file(Module, ["open('", Count, "', 'a').write('x')\ndef same(x): return x\n"]),
    C = new(#{paths => [Dir]}),
    Calls = fun(I) -> [py_context:call(C, counts_imports, same, [I]) || _ <- lists:seq(1, 10)] end,
    ?assertEqual([lists:duplicate(10, {ok, I}) || I <- lists:seq(1, 4)], py_ct:parallel(4, Calls)),
    ?assertEqual({ok, <<"x">>}, file:read_file(Count)),
    ok = py_context:stop(C),
    ok = file:del_dir_r(Dir).

info(_) ->
    C = new(#{name => me}),
    Os = py_ct:helper_pid(C),
    {ok, #{state := ready, os_pid := Os, generation := 1, restarts := 0, runtime := default,
           python := <<"3.", _/binary>>, stats := #{requests := 1, answers := 1, pending := 0}}} =
        py_context:info(C),
    {ok, #{interpreter := #{<<"pid">> := Os}}} = py_context:info(C, 5000),
    [{error, {invalid, timeout, T}} = py_context:info(C, T) || T <- [-1, x, 1 bsl 32]],
    [] = py_ct:mailbox(),
    {error, {crashed, _}} = py_context:exec(C, "import os; os._exit(0)"),
    {ok, 1} = py_context:eval(C, "1"),
    {ok, #{generation := 2, restarts := 1}} = py_context:info(C),
    ok = py_context:stop(C),
    {error, {context_died, _}} = py_context:info(C).

interp_ids(_) ->
    C = new(),
    {ok, A} = py_context:get_interp_id(C),
    {ok, A} = py_context:get_interp_id(C),
    {error, {crashed, _}} = py_context:exec(C, "import os; os._exit(0)"),
    {ok, B} = py_context:get_interp_id(C),
    ?assertNotEqual(A, B),
    ok = py_context:stop(C).

stop_runs_atexit(Config) ->
    File = filename:join(proplists:get_value(priv_dir, Config), "atexit"),
    C = new(),
    ok = py_context:exec(C, ["import atexit\n",
                             "atexit.register(lambda: open('", File, "', 'w').write('bye'))"]),
    ok = py_context:stop(C),
    ?assertEqual({ok, <<"bye">>}, file:read_file(File)).

%% A context that never ends by itself is ended, and its callers are told.
stop_while_busy(_) ->
    C = new(),
    Os = py_ct:helper_pid(C),
    Self = self(),
    {_, Mon} = spawn_monitor(fun() -> Self ! {got, py_context:eval(C, py_ct:stuck())} end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= 1 end),
    ok = py_context:stop(C),
    receive {got, R} -> ?assertMatch({error, _}, R) end,
    receive {'DOWN', Mon, process, _, _} -> ok end,
    py_ct:eventually(fun() -> not py_ct:alive(Os) end).

%% Not even a killed context leaves its helper behind.
kill_the_process(_) ->
    C = new(),
    Os = py_ct:helper_pid(C),
    Self = self(),
    {_, Mon} = spawn_monitor(fun() -> Self ! {got, py_context:eval(C, py_ct:stuck())} end),
    py_ct:eventually(fun() -> py_SUITE:pending(C) =:= 1 end),
    exit(C, kill),
    receive {got, R} -> ?assertMatch({error, {context_died, _}}, R) end,
    receive {'DOWN', Mon, process, _, _} -> ok end,
    py_ct:eventually(fun() -> not py_ct:alive(Os) end).

many_contexts(_) ->
    N = 40,
    Results = py_ct:parallel(N, fun(I) ->
                                        C = new(),
                                        {ok, I} = py_context:eval(C, "x", #{x => I}),
                                        Os = py_ct:helper_pid(C),
                                        ok = py_context:stop(C),
                                        Os
                                end),
    ?assertEqual(N, length(lists:usort(Results))).

%% A script that kills its process again and again gets `unavailable', then
%% the context recovers.
back_off(_) ->
    C = new(#{restart => #{free => 1, min_backoff => 500, stable_ms => 60000}}),
    Crash = fun() -> py_context:exec(C, "import os; os._exit(1)") end,
    {error, {crashed, _}} = Crash(),
    {error, {crashed, _}} = Crash(),
    py_ct:eventually(fun() -> Crash() =:= {error, unavailable} end),
    ?assertEqual({error, unavailable}, py_context:eval(C, "1")),
    py_ct:eventually(fun() -> py_context:eval(C, "1") =:= {ok, 1} end),
    ok = py_context:stop(C).

%% Nobody is turned away while a new helper is on its way.
waits_while_starting(_) ->
    C = new(#{restart => #{free => 1000}}),
    Results = py_ct:parallel(20, fun(I) when I rem 5 =:= 0 ->
                                         py_context:exec(C, "import os; os._exit(1)");
                                    (I) ->
                                         py_context:eval(C, "x", #{x => I})
                                 end),
    [?assert(case R of
                 {ok, I} -> true;
                 {error, {crashed, _}} -> true;
                 _ -> R
             end) || {I, R} <- lists:enumerate(Results)],
    {ok, 1} = py_context:eval(C, "1"),
    ok = py_context:stop(C).

atoms_of_values(_) ->
    ?assertEqual({ok, <<"zzz_unknown">>},
                 py_etf_atoms:unknown(<<131, 104, 2, 97, 1, 119, 11, "zzz_unknown">>)),
    ?assertEqual(none, py_etf_atoms:unknown(term_to_binary(some_terms()))),
    ?assertEqual(none, py_etf_atoms:unknown(<<131, 104, 2, 97>>)),
    ?assert(lists:member(neg_infinity, py_answer:special_atoms())).

some_terms() ->
    [1, -1, 1 bsl 100, 1 bsl 3000, 1.5, <<"b">>, <<1:1>>, "str", [a | b], {}, {x, [y]},
     #{k => #{v => 1}}, self(), make_ref(), hd(erlang:ports()), fun lists:map/2,
     fun() -> ok end, list_to_tuple(lists:seq(1, 300))].
