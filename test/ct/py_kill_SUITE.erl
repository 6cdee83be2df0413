%% SPDX-License-Identifier: Apache-2.0
%% @doc Processes killed at random under load: every call gets exactly one
%% answer, right or an error, and nothing is left behind.
%%
%% TERRARIUM_KILL_ROUNDS sets the number of kills (default 300).
-module(py_kill_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CALLERS, 64).
-define(CONTEXTS, 3).
%% What a zygote keeps forked ahead, by default.
-define(SPARES, 2).

suite() -> [{timetrap, {minutes, 90}}].

all() -> [random_kills].

init_per_suite(Config) ->
    ok = logger:set_primary_config(level, error),
    load_all(),
    Restart = #{free => 1000000, min_backoff => 1, max_backoff => 20, stable_ms => 1000},
    ok = py_ct:start([{contexts, ?CONTEXTS}, {grace_ms, 100}, {restart, Restart}]),
    Config.

end_per_suite(_) ->
    py_ct:stop(),
    logger:set_primary_config(level, notice).

%% Modules that are loaded on first use bring atoms of their own.
load_all() ->
    [code:ensure_loaded(M) || App <- [kernel, stdlib, common_test, terrarium],
                              application:load(App) =/= {error, enoent},
                              {ok, Modules} <- [application:get_key(App, modules)],
                              M <- Modules].

rounds() ->
    list_to_integer(os:getenv("TERRARIUM_KILL_ROUNDS", "300")).

random_kills(_) ->
    %% Once through everything, so that all atoms and buffers are there.
    _ = storm(20),
    Before = py_ct:census(),
    Atoms = erlang:system_info(atom_count),
    Processes = length(processes()),
    Counts = storm(rounds()),
    ct:pal("~b kills; answers: ~p", [rounds(), Counts]),
    io:format(user, "~b kills; answers: ~p~n", [rounds(), Counts]),
    ?assertEqual(0, maps:get(wrong, Counts)),
    ?assert(maps:get(right, Counts) > rounds()),
    py_ct:settled(Before),
    ?assertEqual(Atoms, erlang:system_info(atom_count)),
    py_ct:eventually(fun() -> length(processes()) =< Processes end),
    ?assertEqual([], strays()),
    no_monitors_left().

%% Helpers that belong to no context and are not spares.
strays() ->
    Zygote = integer_to_list(py_ct:zygote_pid(default)),
    Known = [integer_to_list(os_pid(C)) || C <- py_context_router:contexts()],
    {ok, Text} = file:read_file(["/proc/", Zygote, "/task/", Zygote, "/children"]),
    Children = string:lexemes(binary_to_list(Text), " \n"),
    Others = Children -- Known,
    lists:nthtail(min(?SPARES, length(Others)), Others).

no_monitors_left() ->
    [?assertEqual([], [P || {process, P} <- Monitors, not is_process_alive(P)])
     || C <- py_context_router:contexts(),
        {monitors, Monitors} <- [process_info(C, monitors)]].

%%% The storm

storm(Rounds) ->
    Self = self(),
    Callers = [spawn_link(fun() -> caller(Self, N) end) || N <- lists:seq(1, ?CALLERS)],
    lists:foreach(fun kill_something/1, lists:seq(1, Rounds)),
    [C ! stop || C <- Callers],
    lists:foldl(fun(C, Sum) ->
                    receive
                        {C, Counts} ->
                            maps:fold(fun(K, V, Acc) ->
                                          maps:update_with(K, fun(X) -> X + V end, V, Acc)
                                      end, Sum, Counts)
                    after 60000 ->
                        ct:fail({caller_hangs, process_info(C, current_stacktrace)})
                    end
                end, #{right => 0, wrong => 0}, Callers).

caller(Boss, N) ->
    rand:seed(exsss, {N, 2, 3}),
    Boss ! {self(), calls(#{})}.

calls(Counts) ->
    receive
        stop ->
            %% No answer may come late, or twice.
            receive Stray -> exit({stray_message, Stray})
            after 200 -> Counts
            end
    after 0 ->
        Kind = one_call(rand:uniform(1 bsl 60)),
        calls(maps:update_with(Kind, fun(V) -> V + 1 end, 1, Counts))
    end.

one_call(Nonce) ->
    Ctx = py:context(rand:uniform(?CONTEXTS)),
    Timeout = lists:nth(rand:uniform(3), [50, 300, 20000]),
    case work(rand:uniform(20), Ctx, Nonce, Timeout) of
        {ok, Nonce} -> right;
        {error, timeout} -> timeout;
        {error, {crashed, Report}} when is_map(Report) -> crashed;
        {error, {context_died, _}} -> died;
        {error, unavailable} -> pause();
        {error, {unavailable, _}} -> pause();
        {error, {"KeyboardInterrupt", _}} = Other -> wrong(Other);
        Other -> wrong(Other)
    end.

wrong(What) ->
    io:format(user, "wrong: ~p~n", [What]),
    wrong.

%% Mostly short; now and then slow, or with a body larger than any buffer.
work(1, Ctx, Nonce, Timeout) ->
    case py:call(Ctx, time, sleep, [0.02], #{timeout => Timeout}) of
        {ok, none} -> {ok, Nonce};
        Other -> Other
    end;
work(2, Ctx, Nonce, Timeout) ->
    Big = binary:copy(<<255>>, 300000),
    case py:call(Ctx, operator, getitem, [[Nonce, Big], 0], #{timeout => Timeout}) of
        {ok, N} -> {ok, N};
        Other -> Other
    end;
work(_, Ctx, Nonce, Timeout) ->
    case py:call(Ctx, operator, add, [Nonce, 1], #{timeout => Timeout}) of
        {ok, N} -> {ok, N - 1};
        Other -> Other
    end.

pause() ->
    timer:sleep(10),
    unavailable.

kill_something(Round) ->
    Ctx = py:context(rand:uniform(?CONTEXTS)),
    case Round rem 100 of
        50 -> kill("KILL", zygote_pid());
        _ -> kill(lists:nth(rand:uniform(4), ["KILL", "SEGV", "ABRT", "STOP"]), os_pid(Ctx))
    end,
    timer:sleep(rand:uniform(20)).

zygote_pid() ->
    case py_runtime:info(default) of
        {ok, #{os_pid := Pid}} -> Pid;
        _ -> none
    end.

os_pid(Ctx) ->
    case py_context:info(Ctx) of
        {ok, #{os_pid := Pid}} -> Pid;
        _ -> none
    end.

kill(_, none) -> ok;
kill(Signal, Pid) ->
    _ = os:cmd("kill -" ++ Signal ++ " " ++ integer_to_list(Pid)),
    ok.
