%% SPDX-License-Identifier: Apache-2.0
%% @doc The contexts of `py_sandbox:run': what is kept for the next ones, and that
%% nothing is left of one, however it ends.
-module(py_context_runs_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(SLEEP, <<"import time\ntime.sleep(100)">>).

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [kept_plans, refused_plans, few_plans, configured_plans, looked_at, crowded, stubborn, killed,
     killed_with_courier, keeper_dies, application_stops, not_started].

init_per_suite(Config) -> Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    Config.

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

%%% Plans

kept_plans(_) ->
    Policies = [default, strict, #{level => default},
                #{level => default, limits => #{wall_ms => 7}}],
    Find = fun(Policy) -> {ok, Plan} = py_sandbox_plan:find(#{policy => Policy}), Plan end,
    Made = [Find(P) || P <- Policies],
    Plans = [Find(P) || P <- Policies],
    ?assertEqual(Made, Plans),
    [?assert(erts_debug:same(Plan, Find(P))) || {P, Plan} <- lists:zip(Policies, Plans)],
    ?assertMatch([5000, 1000, 5000, 7],
                 [py_policy:limit({wall_ms, Policy}, none) || #{policy := Policy} <- Plans]),
    {ok, #{ahead := 3, boot := #{lane := false}}} = py_sandbox_plan:find(#{spares => 3}).

refused_plans(_) ->
    [?assertEqual({error, {invalid, Key, Value}}, py_sandbox_plan:find(Options))
     || _ <- [1, 2], {Key, Value, Options} <- [{level, 5, #{policy => #{level => 5}}},
                                               {runtime, 5, #{runtime => 5}},
                                               {spares, -1, #{spares => -1}}]].

%% What strangers may have a say in does not fill the memory: not by its length, nor by
%% being something new each time.
few_plans(_) ->
    Before = length(persistent_term:get()),
    Find = fun(Options) -> {ok, Plan} = py_sandbox_plan:find(Options), Plan end,
    Long = #{policy => #{level => default, allow => [{read, [binary:copy(<<"/a">>, 5000)]}]}},
    {First, Second} = {Find(Long), Find(Long)},
    ?assertEqual(First, Second),
    ?assertNot(erts_debug:same(First, Second)),
    ?assertEqual(Before, length(persistent_term:get())),
    Many = [#{policy => #{level => default, limits => #{wall_ms => N}}} || N <- lists:seq(1, 100)],
    Plans = [Find(Options) || Options <- Many],
    ?assertEqual(Plans, [Find(Options) || Options <- Many]),
    ?assertEqual(Before + 64, length(persistent_term:get())),
    ok = py_ct:stop(),
    ?assert(length(persistent_term:get()) =< Before).

%% The configuration is in a plan, which ends with the application.
configured_plans(_) ->
    {ok, #{max_depth := 1000}} = py_sandbox_plan:find(#{}),
    ok = py_ct:start([{max_depth, 50}]),
    {ok, #{max_depth := 50}} = py_sandbox_plan:find(#{}),
    ok = py_ct:start(),
    {ok, #{max_depth := 1000}} = py_sandbox_plan:find(#{}).

%%% The end of a context

rows() ->
    [{Table, ets:info(Table, size)} || Table <- [py_contexts, py_helpers, py_waits]].

%% A run that does not end by itself; its context, and who waits for it.
begun() ->
    Others = py_registry:contexts(),
    {Pid, Mon} = spawn_monitor(fun() ->
                                       Limits = #{wall_ms => 60000},
                                       Policy = #{level => default, limits => Limits},
                                       exit(py_sandbox:run(?SLEEP, #{policy => Policy}))
                               end),
    Ready = fun() ->
                    [C || C <- py_registry:contexts() -- Others,
                          {ready, _, _, _, _} <- [py_registry:find(C)]]
            end,
    py_ct:eventually(fun() -> Ready() =/= [] orelse py_registry:contexts() end),
    [Context] = Ready(),
    {Context, Pid, Mon}.

ended({_, Pid, Mon}) ->
    receive {'DOWN', Mon, process, Pid, Result} -> Result after 20000 -> ct:fail(no_end) end.

%% It is like any other context to those who look at it in the midst of a run.
looked_at(_) ->
    {Context, Owner, _} = Run = begun(),
    ?assertMatch({ready, _}, sys:get_state(Context)),
    {ok, #{os_pid := OsPid}} = py_context:info(Context),
    ?assert(py_ct:alive(OsPid)),
    ?assertEqual(process_info(whereis(py_context_runs), group_leader),
                 process_info(Context, group_leader)),
    true = exit(Owner, kill),
    ?assertEqual(killed, ended(Run)),
    py_ct:eventually(fun() -> not is_process_alive(Context) end),
    py_ct:eventually(fun() -> not py_ct:alive(OsPid) end).

%% What else a caller has in its mailbox is left there.
crowded(_) ->
    _ = [self() ! {other, N} || N <- lists:seq(1, 1000)],
    {ok, #{value := 2}} = py_sandbox:run("1 + 1"),
    Missing = #{level => default, require => [cgroup], without => [cgroup]},
    ?assertEqual({error, {sandbox, {unavailable, [cgroup]}}},
                 py_sandbox:run("1", #{policy => Missing})),
    ?assertEqual([{other, N} || N <- lists:seq(1, 1000)], py_ct:mailbox()),
    _ = [receive {other, N} -> ok end || N <- lists:seq(1, 1000)].

%% A helper that does not end when its connection does is killed.
stubborn(_) ->
    {Context, _, _} = Run = begun(),
    {ok, #{os_pid := OsPid}} = py_context:info(Context),
    "" = os:cmd("kill -STOP " ++ integer_to_list(OsPid)),
    ?assertMatch(#{rss := _}, py_context_end:finish(Context)),
    ?assertNot(py_ct:alive(OsPid)),
    ?assertEqual({error, {context_died, normal}}, ended(Run)).

killed(_) ->
    {ok, _} = py_sandbox:run("1"),
    {Rows, Census} = {rows(), py_ct:census()},
    {Context, _, _} = Run = begun(),
    ?assertNotEqual(Rows, rows()),
    true = exit(Context, kill),
    ?assertMatch({error, {context_died, _}}, ended(Run)),
    py_ct:eventually(fun() -> rows() =:= Rows orelse rows() end),
    ok = py_ct:settled(Census),
    {ok, #{value := 2}} = py_sandbox:run("1 + 1").

%% Of any other context as well, whose courier may see to it in its stead.
killed_with_courier(_) ->
    {ok, C} = py_context:new(#{}),
    {ok, 1} = py_context:eval(C, "1"),
    ok = py_context:stop(C),
    Rows = rows(),
    {ok, Killed} = py_context:new(#{}),
    {ok, _} = py_context:eval(Killed, "object()", #{}, #{return => ref}),
    true = exit(Killed, kill),
    py_ct:eventually(fun() -> rows() =:= Rows orelse rows() end).

keeper_dies(_) ->
    {ok, _} = py_sandbox:run("1"),
    Rows = rows(),
    Run = begun(),
    Keeper = whereis(py_context_runs),
    true = exit(Keeper, kill),
    ?assertMatch({error, {context_died, _}}, ended(Run)),
    py_ct:eventually(fun() -> is_pid(whereis(py_context_runs))
                                  andalso whereis(py_context_runs) =/= Keeper end),
    py_ct:eventually(fun() -> element(1, py_sandbox:run("1")) =:= ok end),
    py_ct:eventually(fun() -> rows() =< Rows orelse rows() end).

%% It is waited for: when the application has ended, so has the helper.
application_stops(_) ->
    {Context, _, _} = Run = begun(),
    {ok, #{os_pid := OsPid}} = py_context:info(Context),
    ok = application:stop(terrarium),
    ?assertNot(is_process_alive(Context)),
    ?assertMatch({error, _}, ended(Run)),
    py_ct:eventually(fun() -> not py_ct:alive(OsPid) end).

not_started(_) ->
    ok = py_ct:stop(),
    ?assertEqual({error, not_started}, py_sandbox:run("1")).
