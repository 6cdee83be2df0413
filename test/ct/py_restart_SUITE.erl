%% SPDX-License-Identifier: Apache-2.0
%% @doc The application is stopped and started while everything that it offers is
%% in use (py_parties).  Everybody who waits is told, with an error that says why;
%% nobody waits for ever; nothing is left behind.
%%
%% TERRARIUM_RESTART_ROUNDS sets how often (default 4).
-module(py_restart_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

%% The rounds after which nothing is new any more.
-define(WARM, 2).

suite() -> [{timetrap, {hours, 3}}].

all() -> [restarts, a_pool_stops].

%% What is loaded, or asked for, for the first time brings atoms.
init_per_suite(Config) ->
    _ = [code:ensure_loaded(list_to_atom(filename:basename(Beam, ".beam")))
         || App <- [terrarium, kernel, stdlib, common_test], Dir <- [code:lib_dir(App)],
            Beam <- filelib:wildcard(filename:join([Dir, "ebin", "*.beam"]))],
    _ = erlang:memory(),
    ok = logger:set_primary_config(level, none),
    Config.

end_per_suite(_) ->
    logger:set_primary_config(level, notice).

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:stop().

restarts(Config) ->
    Dir = ?config(priv_dir, Config),
    _ = [one_round(Dir, none) || _ <- lists:seq(1, ?WARM)],
    Base = one_round(Dir, none),
    Memory = erlang:memory(total),
    Rounds = [one_round(Dir, Base) || _ <- lists:seq(1, rounds())],
    ct:pal("at first ~p~nafter ~b rounds ~p~nmemory ~b, then ~b",
           [Base, length(Rounds), lists:last(Rounds), Memory, erlang:memory(total)]).

rounds() ->
    list_to_integer(os:getenv("TERRARIUM_RESTART_ROUNDS", "4")).

%% What was there when the application had stopped, and when it ran again and
%% nobody used it.
one_round(Dir, Base) ->
    ok = start(Dir),
    Parties = py_parties:all(),
    timer:sleep(100 + rand:uniform(300)),
    ok = py_ct:stop(),
    told(Parties),
    Stopped = settled(stopped, Base),
    ok = start(Dir),
    [{ok, 1} = py:eval(C, "1") || C <- py_parties:contexts()],
    Running = settled(running, Base),
    ok = py_ct:stop(),
    #{stopped => Stopped, running => Running}.

start(Dir) ->
    Restart = #{free => 1000000, min_backoff => 1, max_backoff => 20, stable_ms => 1000},
    ok = py_ct:start([{contexts, 1}, {grace_ms, 500}, {stop_timeout, 2000}, {restart, Restart}]),
    py_parties:prepare(Dir).

%% As much as there was before; or what there is when nothing changes any more.
settled(Where, none) ->
    Now = py_census:take(),
    timer:sleep(300),
    case py_census:take() of
        Now -> Now;
        _ -> settled(Where, none)
    end;
settled(Where, Base) ->
    Before = maps:get(Where, Base),
    py_ct:eventually(fun() ->
                             case py_census:compare(Before, py_census:take()) of
                                 More when map_size(More) =:= 0 -> true;
                                 More -> {Where, More}
                             end
                     end),
    py_census:take().

%% A pool that stops is no different for those who use it; all others go on.
a_pool_stops(Config) ->
    Dir = ?config(priv_dir, Config),
    ok = start(Dir),
    Parties = py_parties:of_pools(),
    timer:sleep(300),
    ok = py_parties:stop_pools(),
    told(Parties),
    ?assertEqual({ok, 1}, py:eval("1")).

told(Parties) ->
    lists:foreach(fun({Name, {Pid, Mon}}) ->
                          receive
                              {'DOWN', Mon, process, Pid, {told, Why}} ->
                                  ?assert(py_parties:is_clear(Why), {Name, Why});
                              {'DOWN', Mon, process, Pid, Why} ->
                                  ct:fail({Name, Why})
                          after 60000 ->
                              ct:fail({stuck, Name, erlang:process_info(Pid)})
                          end
                  end, Parties).
