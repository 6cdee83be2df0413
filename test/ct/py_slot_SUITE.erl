%% SPDX-License-Identifier: Apache-2.0
%% @doc Semaphores in Python (`erlang.Semaphore').
-module(py_slot_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [takes_and_gives, errors, of_the_application, made_in_python, one_line_for_all, in_coroutines,
     threads, the_dead_give_back, renewal_gives_back, interrupted, cancelled_coroutine,
     time_limit_of_the_request, many_and_never_more].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {max_concurrent, 2}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{restart => #{free => 1000, min_backoff => 1}}),
    {ok, S} = py_semaphore:new(1),
    ok = py:exec(C, "import asyncio, erlang, threading, time"),
    [{context, C}, {semaphore, S} | Config].

end_per_testcase(_, Config) ->
    ok = py_context:stop(proplists:get_value(context, Config)),
    ok = py_semaphore:stop(proplists:get_value(semaphore, Config)),
    ?assertEqual([], py_ct:mailbox()).

both(Config) ->
    {proplists:get_value(context, Config), proplists:get_value(semaphore, Config)}.

%% With `s' as the semaphore.
eval(C, S, Code) ->
    py:eval(C, ["(lambda s: ", Code, ")(erlang.Semaphore(t))"], #{t => S}).

free(S) ->
    py_ct:eventually(fun() -> py_semaphore:current(S) =:= 0 end).

takes_and_gives(Config) ->
    {C, S} = both(Config),
    ?assertEqual({ok, true}, eval(C, S, "s.acquire()")),
    ?assertEqual(1, py_semaphore:current(S)),
    ?assertEqual({error, {overloaded, 1, 1}}, py_semaphore:acquire(S, 0)),
    ?assertEqual({ok, false}, eval(C, S, "s.acquire(blocking=False)")),
    ?assertEqual({ok, false}, eval(C, S, "s.acquire(timeout=0.01)")),
    ?assertEqual({ok, none}, eval(C, S, "s.release()")),
    ?assertEqual(0, py_semaphore:current(S)),
    ?assertEqual({ok, true}, eval(C, S, "s.acquire(blocking=False)")),
    ?assertEqual({ok, {1, 1}}, eval(C, S, "(s.current(), s.max_concurrent())")),
    ?assertEqual({ok, none}, eval(C, S, "s.set_max_concurrent(2)")),
    ?assertEqual(2, py_semaphore:max_concurrent(S)),
    ok = py_semaphore:acquire(S, 0),
    ok = py_semaphore:release(S),
    ?assertEqual({ok, none}, eval(C, S, "s.release()")).

errors(Config) ->
    {C, S} = both(Config),
    ?assertMatch({error, {"ValueError", _}}, eval(C, S, "s.release()")),
    ?assertMatch({error, {"ValueError", _}}, eval(C, S, "s.set_max_concurrent(0)")),
    ?assertMatch({error, {"ValueError", _}}, py:eval(C, "erlang.Semaphore(0)")),
    ?assertMatch({error, {"TypeError", _}}, py:eval(C, "erlang.Semaphore('x')")),
    ?assertMatch({error, {"ValueError", _}}, eval(C, S, "s.acquire(timeout=-1)")),
    ?assertEqual({ok, true}, eval(C, S, "s == erlang.Semaphore(t) and hash(s) == hash(t)"
                                        " if (t := s.term) else 0")),
    ok = py_semaphore:stop(S),
    [?assertMatch({error, {"RuntimeError", _}}, eval(C, S, Code))
     || Code <- ["s.acquire()", "s.current()", "s.max_concurrent()", "s.set_max_concurrent(1)"]].

of_the_application(Config) ->
    {C, _} = both(Config),
    ?assertEqual({ok, 1}, py:eval(C, "erlang.Semaphore().acquire() and "
                                     "erlang.Semaphore().current()")),
    ?assertEqual(1, py_semaphore:current()),
    ?assertEqual({ok, 2}, py:eval(C, "erlang.Semaphore().max_concurrent()")),
    {ok, none} = py:eval(C, "erlang.Semaphore().release()"),
    ?assertEqual(0, py_semaphore:current()).

made_in_python(Config) ->
    {C, _} = both(Config),
    {ok, S} = py:eval(C, "erlang.Semaphore(2).term"),
    ok = py_semaphore:acquire(S, 0),
    ?assertEqual(1, py_semaphore:current(S)),
    ok = py_semaphore:release(S),
    ok = py_semaphore:stop(S).

%% Erlang and Python wait in the order in which they came.
one_line_for_all(Config) ->
    {C, S} = both(Config),
    ok = py_semaphore:acquire(S),
    Here = self(),
    Python = py:cast(C, builtins, exec, [<<"import erlang\nwith erlang.Semaphore(t):\n"
                                           "    erlang.send(pid, 'python')">>,
                                         #{<<"t">> => S, <<"pid">> => Here}]),
    py_ct:eventually(fun() -> waiting(S) =:= 1 end),
    Erlang = spawn_link(fun() -> ok = py_semaphore:acquire(S), Here ! erlang end),
    py_ct:eventually(fun() -> waiting(S) =:= 2 end),
    ok = py_semaphore:release(S),
    ?assertEqual({ok, none}, py:await(Python)),
    ?assertEqual(<<"python">>, receive M1 when is_binary(M1) -> M1 end),
    ?assertEqual(erlang, receive M2 when is_atom(M2) -> M2 end),
    ?assert(is_pid(Erlang)).

waiting({_, Pid}) ->
    queue:len(element(6, sys:get_state(Pid))).

in_coroutines(Config) ->
    {C, S} = both(Config),
    ok = py:exec(C, "async def work(s, most):\n"
                    "    async with s:\n"
                    "        most.append(s.current())\n"
                    "        await asyncio.sleep(0)\n"
                    "async def all_of(t):\n"
                    "    s, most = erlang.Semaphore(t), []\n"
                    "    await asyncio.gather(*(work(s, most) for _ in range(20)))\n"
                    "    return most\n"
                    "async def in_vain(t):\n"
                    "    return await erlang.Semaphore(t).async_acquire(0.01)\n"),
    Ones = lists:duplicate(20, 1),
    ?assertEqual({ok, Ones}, py:async_await(py:async_call(C, '__main__', all_of, [S]))),
    ?assertEqual(0, py_semaphore:current(S)),
    ok = py_semaphore:acquire(S),
    ?assertEqual({ok, false}, py:async_await(py:async_call(C, '__main__', in_vain, [S]))),
    ok = py_semaphore:release(S).

threads(Config) ->
    {C, S} = both(Config),
    ok = py:exec(C, "now = most = done = 0\n"
                    "def work(t):\n"
                    "    global now, most, done\n"
                    "    for _ in range(20):\n"
                    "        with erlang.Semaphore(t):\n"
                    "            now += 1\n"
                    "            most = max(most, now)\n"
                    "            time.sleep(0)\n"
                    "            now -= 1\n"
                    "            done += 1\n"
                    "def run(t):\n"
                    "    all = [threading.Thread(target=work, args=(t,)) for _ in range(8)]\n"
                    "    for x in all: x.start()\n"
                    "    for x in all: x.join()\n"
                    "    return most, done\n"),
    ?assertEqual({ok, {1, 160}}, py:call(C, '__main__', run, [S])),
    ?assertEqual(0, py_semaphore:current(S)).

the_dead_give_back(Config) ->
    {C, S} = both(Config),
    {ok, true} = eval(C, S, "s.acquire()"),
    {error, {crashed, _}} = py:call(C, os, '_exit', [1]),
    free(S),
    {ok, true} = py:eval(C, "__import__('erlang').Semaphore(t).acquire()", #{t => S}),
    ok = py_context:stop(C),
    free(S).

renewal_gives_back(Config) ->
    {C, S} = both(Config),
    {ok, true} = eval(C, S, "s.acquire()"),
    ok = py_context:renew(C),
    free(S).

%% Whoever gives up leaves neither a slot nor a place in the line.
interrupted(Config) ->
    {C, S} = both(Config),
    ok = py_semaphore:acquire(S),
    Cast = py:cast(C, builtins, eval, [<<"__import__('erlang').Semaphore(t).acquire()">>,
                                       #{<<"t">> => S}]),
    py_ct:eventually(fun() -> waiting(S) =:= 1 end),
    ok = py:interrupt(C),
    ?assertMatch({error, {"KeyboardInterrupt", _}}, py:await(Cast)),
    py_ct:eventually(fun() -> waiting(S) =:= 0 end),
    Caller = spawn(fun() -> eval(C, S, "s.acquire()") end),
    py_ct:eventually(fun() -> waiting(S) =:= 1 end),
    exit(Caller, kill),
    py_ct:eventually(fun() -> waiting(S) =:= 0 end),
    ok = py_semaphore:release(S),
    free(S).

cancelled_coroutine(Config) ->
    {C, S} = both(Config),
    ok = py:exec(C, "async def work(t):\n"
                    "    await erlang.Semaphore(t).async_acquire()\n"),
    ok = py_semaphore:acquire(S),
    Ref = py:async_call(C, '__main__', work, [S]),
    py_ct:eventually(fun() -> waiting(S) =:= 1 end),
    ?assertEqual({error, timeout}, py:async_await(Ref, 0)),
    py_ct:eventually(fun() -> waiting(S) =:= 0 end),
    ok = py_semaphore:release(S),
    free(S).

time_limit_of_the_request(Config) ->
    {C, S} = both(Config),
    ok = py_semaphore:acquire(S),
    ?assertMatch({error, timeout}, py:call(C, builtins, eval,
                     [<<"__import__('erlang').Semaphore(t).__enter__()">>, #{<<"t">> => S}],
                     #{timeout => 50})),
    py_ct:eventually(fun() -> waiting(S) =:= 0 end),
    ok = py_semaphore:release(S),
    free(S).

%% Callers are killed at any moment.  What they hold is what Python knows of: their
%% code may be interrupted before it releases, but no slot is lost.
many_and_never_more(Config) ->
    {C, S} = both(Config),
    _ = py_ct:parallel(8, fun(I) ->
        rand:seed(exsss, {I, 5, 7}),
        [begin
             Pid = spawn(fun() -> eval(C, S, "s.acquire(timeout=0.002) and s.release()") end),
             timer:sleep(rand:uniform(4) - 1),
             exit(Pid, kill)
         end || _ <- lists:seq(1, 60)]
    end),
    py_ct:eventually(fun() ->
                             {ok, N} = py:eval(C, "len(erlang._semaphore._held.get(t, ()))",
                                               #{t => S}),
                             py_semaphore:current(S) =:= N andalso waiting(S) =:= 0
                     end),
    {ok, _} = py:eval(C, "[erlang.Semaphore(t).release() for _ in "
                         "list(erlang._semaphore._held.get(t, ()))]", #{t => S}),
    ?assertEqual(0, py_semaphore:current(S)),
    ?assertEqual({ok, false}, py:eval(C, "t in erlang._semaphore._held", #{t => S})).
