%% SPDX-License-Identifier: Apache-2.0
%% @doc Thirty-two Python threads of each context call Erlang functions all the
%% time, while others make requests with short time limits, and helpers are
%% killed: no answer is lost or given to another, and no call runs twice.
%%
%% Each thread numbers its calls, and each call carries a nonce.  Erlang sees that
%% the numbers of a thread come one by one (else a call was lost or ran twice),
%% Python that the answer has the number and the nonce of its question, and at the
%% end every thread has the answer to its last call.
%%
%% TERRARIUM_STORM_SECONDS sets the length (default 8), TERRARIUM_PENDING_ROUNDS
%% how many contexts end while a function runs (default 16).
-module(py_callback_storm_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-import(py_callback_load_SUITE, [number/2, now_ms/0, begun/1, ended/1, soaking/4,
                                 kill_now_and_then/3]).

-define(CONTEXTS, 3).
-define(THREADS, 32).
-define(CALLERS, 12).

suite() -> [{timetrap, {hours, 2}}].

all() -> [storm, ends_with_a_call_pending].

init_per_suite(Config) ->
    ok = logger:set_primary_config(level, error),
    Config.

end_per_suite(_) ->
    logger:set_primary_config(level, notice).

init_per_testcase(_, Config) ->
    ok = py_callback_load_SUITE:restless(),
    Config.

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:stop().

%%% The storm

storm(_) ->
    {ok, _} = py_context_router:start_pool(?MODULE, ?CONTEXTS, #{imports => [asyncio, erlang]}),
    Contexts = py_context_router:contexts(?MODULE),
    Seen = register_functions(),
    [ok = py:exec(C, code()) || C <- Contexts],
    Before = py_ct:census(),
    End = now_ms() + 1000 * number("TERRARIUM_STORM_SECONDS", "8"),
    Keepers = [begun(fun() -> keep(C, End, none, 0) end) || C <- Contexts],
    Killer = begun(fun() -> kill_now_and_then(Contexts, End, 0) end),
    Callers = [begun(fun() -> soaking(I, Contexts, End, #{}) end) || I <- lists:seq(1, ?CALLERS)],
    Sum = lists:foldl(fun py_callback_load_SUITE:sum/2, #{}, [ended(C) || C <- Callers]),
    [Kills | Helpers] = [ended(P) || P <- [Killer | Keepers]],
    Wrong = [finish(C) || C <- Contexts],
    ct:pal("storm: ~p, callbacks of threads ~b, kills ~b, helpers with threads ~p, wrong ~p",
           [Sum, total(Seen), Kills, Helpers, Wrong]),
    ?assertEqual([[] || _ <- Contexts], Wrong),
    ?assertEqual([], ets:match_object(Seen, {{out_of_order, '_'}, '_'})),
    ?assertEqual([], maps:keys(Sum) -- [right, timeout, crashed, died, unavailable, nested]),
    ?assert(maps:get(right, Sum, 0) > 0),
    ?assert(total(Seen) > 0),
    py_ct:settled(Before).

%% Every thread has its last answer; what was wrong with any.
finish(C) ->
    {ok, _} = began(C),
    py_ct:eventually(fun() -> py:eval(C, "finish()") =:= {ok, true} end),
    ?assertEqual({ok, true}, py:eval(C, "asked == answered and all(asked)")),
    {ok, Wrong} = py:eval(C, "wrong"),
    Wrong.

%% Python's side.  `begin' is called again and again, so that each helper that comes
%% has its threads.
code() ->
    "import asyncio, erlang, os, random, threading\n"
    "run, stop, wrong, threads = random.getrandbits(60), False, [], []\n"
    "asked, answered = [0] * 32, [0] * 32\n"
    "def failing(*q):\n"
    "    try: return erlang.storm_fail(*q)\n"
    "    except erlang.ErlangError as e: return e.reason\n"
    "def waiting(*q): return erlang.storm_nap(*q)\n"
    "def nested(*q): return erlang.storm_nest(*q)\n"
    "def large(*q): return erlang.storm(*q, bytes(50000))\n"
    "def awaited(*q): return asyncio.run(erlang.async_call('storm', *q))\n"
    "def plain(*q): return erlang.storm(*q)\n"
    "ways = [plain] * 20 + [failing] * 4 + [waiting] * 4 + [nested] * 2 + [large, awaited]\n"
    "def work(i):\n"
    "    k = 0\n"
    "    while not stop:\n"
    "        k += 1\n"
    "        asked[i] = k\n"
    "        nonce, way = random.getrandbits(60), random.choice(ways)\n"
    "        try: got = way((run, i), k, nonce)\n"
    "        except Exception as e: got = repr(e)\n"
    "        if got != (k, nonce): wrong.append((way.__name__, k, nonce, got))\n"
    "        answered[i] = k\n"
    "def begin(n):\n"
    "    while len(threads) < n and not stop:\n"
    "        t = threading.Thread(target=work, args=(len(threads),), daemon=True)\n"
    "        threads.append(t)\n"
    "        t.start()\n"
    "def finish():\n"
    "    global stop\n"
    "    stop = True\n"
    "    return not any(t.is_alive() for t in threads)\n".

register_functions() ->
    Seen = ets:new(seen, [public, {write_concurrency, true}]),
    Note = fun(Who, K, Nonce) -> ok = note(Seen, Who, K), {K, Nonce} end,
    Plain = fun([Who, K, Nonce | _]) -> Note(Who, K, Nonce) end,
    Fail = fun([Who, K, Nonce]) -> throw(Note(Who, K, Nonce)) end,
    Nap = fun([Who, K, Nonce]) -> timer:sleep(rand:uniform(3)), Note(Who, K, Nonce) end,
    Nest = fun([Who, K, Nonce]) -> nested(py_callback:context(), Note(Who, K, Nonce)) end,
    [ok = py:register_function(Name, F)
     || {Name, F} <- [{storm, Plain}, {storm_fail, Fail}, {storm_nap, Nap}, {storm_nest, Nest}]],
    ok = py_callback_load_SUITE:register_functions(),
    Seen.

%% A value that it did not get says why: then it was the helper's end.
nested(C, Value) ->
    case py:call(C, builtins, tuple, [tuple_to_list(Value)]) of
        {ok, Got} -> Got;
        {error, Why} -> throw({nested, Why})
    end.

%% Calls of a thread come one after the other.
note(Seen, Who, K) ->
    case ets:update_counter(Seen, Who, 1, {Who, 0}) of
        K -> ok;
        Other -> true = ets:insert(Seen, {{out_of_order, Who}, {K, Other}}), ok
    end.

total(Seen) ->
    ets:foldl(fun({{out_of_order, _}, _}, N) -> N;
                 ({_, Count}, N) -> N + Count
              end, 0, Seen).

%% How many helpers of this context were given their threads.
keep(C, End, Last, Count) ->
    timer:sleep(20),
    case now_ms() >= End of
        true -> Count;
        false -> keep_on(C, End, Last, Count, began(C))
    end.

keep_on(C, End, Last, Count, Began) ->
    case Began of
        {ok, Last} -> keep(C, End, Last, Count);
        {ok, Run} -> keep(C, End, Run, Count + 1);
        {error, _} -> keep(C, End, Last, Count)
    end.

began(C) ->
    Begin = fun() -> py:eval(C, "[begin(n), run][1]", #{n => ?THREADS}) end,
    case Begin() of
        {error, {"NameError", _}} -> _ = py:exec(C, code()), Begin();
        Result -> Result
    end.

%%% The end of a context

%% A request and a thread wait in a function when their helper is killed, or their
%% context stopped: the caller is told, the thread's function ends, the helper is
%% gone, and nothing is left.
ends_with_a_call_pending(_) ->
    Self = self(),
    ok = py:register_function(pend, fun([Tag]) -> Self ! {in, Tag, self()}, pend() end),
    [pending_round(N) || N <- [0, 1]],
    Before = {py_ct:census(), erlang:system_info(process_count)},
    [pending_round(N) || N <- lists:seq(1, number("TERRARIUM_PENDING_ROUNDS", "16"))],
    {Census, Processes} = Before,
    py_ct:settled(Census),
    py_ct:eventually(fun() -> erlang:system_info(process_count) =< Processes end).

pend() ->
    receive go -> none end.

pending_round(N) ->
    {ok, C} = py_context:new(#{}),
    Os = py_ct:helper_pid(C),
    ok = py:exec(C, "import erlang, threading\n"
                    "threading.Thread(target=erlang.pend, args=('thread',), daemon=True).start()"),
    Caller = begun(fun() -> py:eval(C, "erlang.pend('caller')") end),
    Thread = erlang:monitor(process, entered(<<"thread">>)),
    InCaller = entered(<<"caller">>),
    end_it(N rem 2, C, Os),
    InCaller ! go,
    {error, {Kind, _}} = ended(Caller),
    %% With the port, which stays until those who made requests have asked it.
    receive {'DOWN', Thread, process, _, Why} -> ?assertEqual(shutdown, Why)
    after 60000 -> ct:fail(goes_on)
    end,
    ?assert(lists:member(Kind, [crashed, context_died])),
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> not py_ct:alive(Os) end).

end_it(0, C, _) -> ok = py_context:stop(C);
end_it(1, _, Os) -> "" = os:cmd("kill -9 " ++ integer_to_list(Os)).

entered(Tag) ->
    receive {in, Tag, Pid} -> Pid
    after 60000 -> ct:fail({never_entered, Tag})
    end.
