%% SPDX-License-Identifier: Apache-2.0
%% @doc Callbacks under load: many callers, threads and coroutines at once, each
%% call with its nonce; time limits, kills and restarts among them.
%%
%% TERRARIUM_SOAK_SECONDS sets the length of the soak (default 5),
%% TERRARIUM_RESTART_ROUNDS how often the application is restarted (default 4).
-module(py_callback_load_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CONTEXTS, 3).
-define(COROUTINE,
        <<"__import__('asyncio').run(__import__('erlang').async_call('back', x, 2))">>).

suite() -> [{timetrap, {hours, 2}}].

all() ->
    [callers_with_nonces, callers_on_each_context, threads_with_nonces, soak, restarts].

init_per_suite(Config) ->
    ok = logger:set_primary_config(level, error),
    Config.

end_per_suite(_) ->
    logger:set_primary_config(level, notice).

init_per_testcase(_, Config) ->
    ok = start(),
    Config.

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:stop().

%% Helpers die all the time, and come back at once.
restless() ->
    Restart = #{free => 1000000, min_backoff => 1, max_backoff => 20, stable_ms => 1000},
    py_ct:start([{contexts, 1}, {grace_ms, 500}, {stop_timeout, 2000}, {restart, Restart}]).

start() ->
    ok = restless(),
    %% An import that is interrupted is no import.
    {ok, _} = py_context_router:start_pool(?MODULE, ?CONTEXTS, #{imports => [asyncio, erlang]}),
    register_functions().

register_functions() ->
    ok = py:register_function(echo, fun([X]) -> X end),
    ok = py:register_function(nap, fun([X, Ms]) -> timer:sleep(Ms), X end),
    ok = py:register_function(back, fun back/1),
    ok = py:register_function(far, fun far/1).

context(N) ->
    lists:nth(N, py_context_router:contexts(?MODULE)).

number(Name, Default) ->
    list_to_integer(os:getenv(Name, Default)).

%% Into the same context again, so many times.
back([X, 0]) -> X;
back([X, N]) ->
    case py:call(py_callback:context(), erlang, call, [<<"back">>, X, N - 1]) of
        {ok, V} -> V;
        {error, Why} -> throw({nested, Why})
    end.

%% The same by way of another process.
far([X]) ->
    C = py_callback:context(),
    {_, Mon} = spawn_monitor(fun() -> exit({is, py:call(C, erlang, echo, [X])}) end),
    receive
        {'DOWN', Mon, process, _, {is, {ok, V}}} -> V;
        {'DOWN', Mon, process, _, {is, {error, Why}}} -> throw({nested, Why});
        {'DOWN', Mon, process, _, Why} -> throw({died, Why})
    end.

%%% Many at once

nonce(I, N) ->
    {I, N, rand:uniform(1 bsl 60)}.

%% One call of a random kind: what it should return is the nonce.
call(C, Nonce, Options) ->
    case rand:uniform(7) of
        1 -> py:call(C, erlang, call, [<<"echo">>, Nonce], Options);
        2 -> py:call(C, erlang, back, [Nonce, rand:uniform(6)], Options);
        3 -> py:call(C, erlang, far, [Nonce], Options);
        4 -> py:call(C, erlang, nap, [Nonce, rand:uniform(3)], Options);
        5 -> first(py:call(C, erlang, echo, [{Nonce, binary:copy(<<255>>, 100000)}], Options));
        6 -> first(py:call(C, builtins, tuple, [[Nonce, 0]], Options));
        7 -> py:eval(C, ?COROUTINE, #{x => Nonce})
    end.

first({ok, {Nonce, _}}) -> {ok, Nonce};
first(Other) -> Other.

callers_with_nonces(_) ->
    C = context(1),
    storm([C], 20, 100).

callers_on_each_context(_) ->
    storm([context(N) || N <- lists:seq(1, ?CONTEXTS)], 20, 100).

storm(Contexts, Callers, Calls) ->
    Runs = py_ct:parallel(Callers * length(Contexts), fun(I) ->
        rand:seed(exsss, {I, 1, 2}),
        C = lists:nth(I rem length(Contexts) + 1, Contexts),
        [right = check(nonce(I, N), C) || N <- lists:seq(1, Calls)],
        py_ct:mailbox()
    end),
    ?assertEqual([[] || _ <- Runs], Runs).

check(Nonce, C) ->
    case call(C, Nonce, #{timeout => infinity}) of
        {ok, Nonce} -> right;
        Other -> {wrong, Nonce, Other}
    end.

%% Thirty-two threads of each context, while others use it.
threads_with_nonces(_) ->
    Code = "import erlang, random, threading\nwrong = []\ndef work(i):\n"
           "    for k in range(40):\n"
           "        nonce = (i, k, random.getrandbits(60))\n"
           "        f = random.choice([erlang.echo, lambda x: erlang.back(x, 2), erlang.far,\n"
           "                           lambda x: erlang.nap(x, random.randrange(3))])\n"
           "        got = f(nonce)\n"
           "        if got != nonce: wrong.append((nonce, got))\n"
           "t = [threading.Thread(target=work, args=(i,)) for i in range(32)]\n"
           "for each in t: each.start()",
    Contexts = [context(N) || N <- lists:seq(1, ?CONTEXTS)],
    [ok = py:exec(C, Code) || C <- Contexts],
    storm(Contexts, 4, 100),
    [begin
         py_ct:eventually(fun() -> py:eval(C, "any(x.is_alive() for x in t)") =:= {ok, false} end),
         ?assertEqual({ok, []}, py:eval(C, "wrong"))
     end || C <- Contexts].

%%% The soak

soak(_) ->
    All = [context(N) || N <- lists:seq(1, ?CONTEXTS)],
    _ = py_ct:parallel(4, fun(I) -> soaking(I, All, now_ms() + 1000, #{}) end),
    all_up(),
    Before = py_ct:census(),
    End = now_ms() + 1000 * number("TERRARIUM_SOAK_SECONDS", "5"),
    Killer = begun(fun() -> kill_now_and_then(All, End, 0) end),
    Counts = [ended(S) || S <- [begun(fun() -> soaking(I, All, End, #{}) end)
                                || I <- lists:seq(1, 12)]],
    _ = ended(Killer),
    Sum = lists:foldl(fun sum/2, #{}, Counts),
    ct:pal("soak: ~p", [Sum]),
    ?assertEqual([], maps:keys(Sum) -- [right, timeout, crashed, died, unavailable, nested]),
    ?assert(maps:get(right, Sum, 0) > 0),
    py_ct:settled(Before).

begun(Fun) ->
    spawn_monitor(fun() -> exit({result, Fun()}) end).

ended({Pid, Mon}) ->
    receive {'DOWN', Mon, process, Pid, Why} -> {result, Result} = Why, Result end.

sum(Counts, Sum) when is_map(Counts) ->
    maps:fold(fun(K, V, Acc) -> maps:update_with(K, fun(X) -> X + V end, V, Acc) end, Sum, Counts).

now_ms() ->
    erlang:monotonic_time(millisecond).

soaking(I, Contexts, End, Counts) ->
    case now_ms() >= End of
        true ->
            receive Stray -> exit({stray_message, Stray})
            after 500 -> Counts
            end;
        false ->
            Kind = one(I, any(Contexts)),
            soaking(I, Contexts, End, maps:update_with(Kind, fun(N) -> N + 1 end, 1, Counts))
    end.

any(List) ->
    lists:nth(rand:uniform(length(List)), List).

one(I, C) ->
    Nonce = nonce(I, 0),
    case call(C, Nonce, #{timeout => lists:nth(rand:uniform(3), [3, 50, 20000])}) of
        {ok, Nonce} -> right;
        {error, timeout} -> timeout;
        {error, {crashed, _}} -> crashed;
        {error, {context_died, _}} -> died;
        {error, unavailable} -> timer:sleep(5), unavailable;
        {error, {"ErlangError", _}} -> nested;
        Other -> {wrong, Other}
    end.

%% How many were killed.
kill_now_and_then(Contexts, End, Kills) ->
    timer:sleep(200 + rand:uniform(600)),
    case now_ms() >= End of
        true -> Kills;
        false -> kill_now_and_then(Contexts, End, Kills + kill_one(any(Contexts)))
    end.

kill_one(C) ->
    case py_context:info(C) of
        {ok, #{os_pid := Os}} when is_integer(Os) ->
            _ = os:cmd("kill -9 " ++ integer_to_list(Os)),
            1;
        _ ->
            0
    end.

%%% Restarts

%% Threads of Python and processes of Erlang call all the time, while the
%% application is stopped and started.
restarts(_) ->
    restart(),
    all_up(),
    Before = py_ct:census(),
    [restart() || _ <- lists:seq(1, number("TERRARIUM_RESTART_ROUNDS", "4"))],
    py_ct:settled(Before).

all_up() ->
    [{ok, 1} = py:eval(context(N), "1") || N <- lists:seq(1, ?CONTEXTS)].

restart() ->
    Code = "import erlang, threading\ndef work():\n    while True: erlang.echo(1)\n"
           "for _ in range(8): threading.Thread(target=work).start()",
    [ok = py:exec(context(N), Code) || N <- lists:seq(1, ?CONTEXTS)],
    Helpers = [py_ct:helper_pid(context(N)) || N <- lists:seq(1, ?CONTEXTS)],
    Callers = [spawn_monitor(fun() -> until_it_stops(I, #{}) end) || I <- lists:seq(1, 8)],
    timer:sleep(100 + rand:uniform(200)),
    ok = py_ct:stop(),
    [receive
         {'DOWN', Mon, process, Pid, Why} -> ?assertMatch({ended, _}, Why)
     after 30000 -> ct:fail({stuck, process_info(Pid, current_stacktrace)})
     end || {Pid, Mon} <- Callers],
    py_ct:eventually(fun() -> not lists:any(fun py_ct:alive/1, Helpers) end),
    ?assertEqual(0, maps:get(ports, py_ct:census())),
    ok = start().

until_it_stops(I, Counts) ->
    Nonce = nonce(I, 0),
    case py:call(?MODULE, erlang, back, [Nonce, 3]) of
        {ok, Nonce} -> until_it_stops(I, maps:update_with(right, fun(N) -> N + 1 end, 1, Counts));
        {ok, Other} -> exit({wrong, Nonce, Other});
        {error, Why} -> exit({ended, Why})
    end.
