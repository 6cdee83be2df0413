%% SPDX-License-Identifier: Apache-2.0
%% @doc Objects that stay in Python: used, passed, let go.
-module(py_ref_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [use, methods_with_options, bad_arguments, as_arguments, nested_arguments, in_eval,
     in_casts_and_coroutines, through_callbacks, of_another_context, of_another_life,
     released_by_hand, of_a_dead_context, ordinary_tuples, collected, collected_with_its_owner,
     kept_elsewhere, unwanted_answers, streams_end_with_their_owner, by_external_term, a_million].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    erlang:garbage_collect().

make(C) -> make(C, builtins, list, [[1, 2, 3]]).
make(C, M, F, A) ->
    {ok, Ref} = py:call(C, M, F, A, #{return => ref}),
    Ref.

%% Objects of this class say how many of them there are.
counted(C) ->
    ok = py:exec(C, "class Counted:\n"
                    "    alive = 0\n"
                    "    def __init__(self): Counted.alive += 1\n"
                    "    def __del__(self): Counted.alive -= 1\n").

alive(C, N) ->
    py_ct:eventually(fun() ->
                             erlang:garbage_collect(),
                             py:eval(C, "Counted.alive") =:= {ok, N}
                     end).

use(_) ->
    Ref = make(py:context(1)),
    ?assert(py:is_ref(Ref)),
    ?assertNot(py:is_ref({py_ref, self(), 1, 1})),
    ?assertEqual({ok, none}, py:call_method(Ref, append, [4])),
    ?assertEqual({ok, [1, 2, 3, 4]}, py:to_term(Ref)),
    Number = make(py:context(2), builtins, complex, [3, 4]),
    ?assertEqual({ok, 3.0}, py:getattr(Number, real)),
    ?assertEqual({ok, 5.0}, py:call_method(Number, '__abs__', [])).

methods_with_options(_) ->
    Ref = make(py:context(1), builtins, list, [[3, 1, 2]]),
    {ok, none} = py:call_method(Ref, sort, [], #{kwargs => #{reverse => true}}),
    ?assertEqual({ok, [3, 2, 1]}, py:to_term(Ref)),
    {ok, Copy} = py:call_method(Ref, copy, [], #{return => ref, timeout => 5000}),
    {ok, none} = py:call_method(Copy, clear, []),
    ?assertEqual({ok, [3, 2, 1]}, py:to_term(Ref)),
    ?assertMatch({error, #{type := <<"IndexError">>}},
                 py:call_method(Copy, pop, [], #{errors => map})),
    {ok, Method} = py:getattr(Ref, append, #{return => ref}),
    {ok, none} = py:call_method(Method, '__call__', [0]),
    ?assertEqual({ok, [3, 2, 1, 0]}, py:to_term(Ref)).

bad_arguments(_) ->
    Ref = make(py:context(1)),
    ?assertEqual({error, {invalid, ref, x}}, py:call_method(x, append, [])),
    ?assertEqual({error, {invalid, name, 1}}, py:call_method(Ref, 1, [])),
    ?assertEqual({error, {invalid, args, x}}, py:call_method(Ref, append, x)),
    ?assertEqual({error, {invalid, colour, red}},
                 py:call_method(Ref, append, [1], #{colour => red})),
    ?assertEqual({error, {invalid, name, 1}}, py:getattr(Ref, 1)),
    ?assertMatch({error, {"AttributeError", _}}, py:getattr(Ref, missing)).

as_arguments(_) ->
    C = py:context(1),
    Ref = make(C),
    ?assertEqual({ok, 3}, py:call(C, builtins, len, [Ref])),
    {ok, none} = py:call(C, operator, setitem, [Ref, 0, 9]),
    ?assertEqual({ok, [9, 2, 3]}, py:to_term(Ref)),
    ?assertEqual({ok, #{<<"a">> => [9, 2, 3]}}, py:call(C, builtins, dict, [],
                                                       #{kwargs => #{a => Ref}})),
    Other = make(C),
    {ok, none} = py:call_method(Other, extend, [Ref]),
    ?assertEqual({ok, [1, 2, 3, 9, 2, 3]}, py:to_term(Other)),
    ?assertEqual({ok, true}, py:call(C, operator, is_, [Ref, Ref])).

nested_arguments(_) ->
    C = py:context(1),
    Ref = make(C),
    ?assertEqual({ok, [[[1, 2, 3]]]}, py:call(C, builtins, list, [[[Ref]]])),
    ?assertEqual({ok, [{1, [1, 2, 3]}]}, py:call(C, builtins, list, [[{1, Ref}]])),
    ?assertEqual({ok, #{<<"k">> => [1, 2, 3]}},
                 py:call(C, builtins, dict, [#{<<"k">> => Ref}])).

in_eval(_) ->
    C = py:context(1),
    Ref = make(C),
    ?assertEqual({ok, 6}, py:eval(C, "sum(x)", #{x => Ref})).

in_casts_and_coroutines(_) ->
    C = py:context(1),
    Ref = make(C),
    ?assertEqual({ok, 3}, py:await(py:cast(C, builtins, len, [Ref]))),
    ok = py:exec(C, "async def length(x): return len(x)"),
    ?assertEqual({ok, 3}, py:async_await(py:async_call(C, '__main__', length, [Ref]))),
    ?assertEqual({ok, [1, 2, 3]}, py:stream(C, builtins, iter, [Ref])),
    {error, {stale_ref, Ref}} = py:await(py:cast(py:context(2), builtins, len, [Ref])).

%% What an Erlang function returns may be one.
through_callbacks(_) ->
    C = py:context(1),
    Ref = make(C),
    ok = py:register_function(the_object, fun([]) -> Ref end),
    ?assertEqual({ok, 3}, py:eval(C, "len(__import__('erlang').the_object())")),
    ?assertMatch({error, {"StaleReference", _}},
                 py:eval(py:context(2), "len(__import__('erlang').the_object())")),
    ok = py:unregister_function(the_object).

of_another_context(_) ->
    A = make(py:context(1)),
    B = make(py:context(2)),
    ?assertEqual({error, {stale_ref, A}}, py:call(py:context(2), builtins, len, [A])),
    ?assertEqual({error, {stale_ref, B}}, py:call(py:context(1), builtins, zip, [A, [{B}]])),
    ?assertEqual({error, {stale_ref, B}}, py:call(py:context(1), builtins, dict, [],
                                                  #{kwargs => #{a => B}, errors => map})),
    ?assertEqual({error, {stale_ref, B}}, py:call_method(A, append, [B])).

of_another_life(_) ->
    C = py:context(1),
    Ref = make(C),
    {error, {crashed, _}} = py:call(C, os, abort, []),
    {ok, 2} = py:eval(C, "1 + 1"),
    ?assertEqual({error, {stale_ref, Ref}}, py:to_term(Ref)),
    ?assertEqual({error, {stale_ref, Ref}}, py:call_method(Ref, append, [1])),
    ?assertEqual({error, {stale_ref, Ref}}, py:call(C, builtins, len, [Ref])).

released_by_hand(_) ->
    C = py:context(1),
    ok = counted(C),
    Ref = make(C, '__main__', 'Counted', []),
    ok = py_context:release(Ref),
    ?assertEqual({ok, 0}, py:eval(C, "Counted.alive")),
    ?assertMatch({error, {"LookupError", _}}, py:to_term(Ref)),
    ?assertEqual({error, {stale_ref, Ref}}, py:call(C, builtins, str, [Ref])),
    ok = py_context:release(Ref).

of_a_dead_context(_) ->
    {ok, C} = py_context:new(#{}),
    Ref = make(C),
    ok = py_context:stop(C),
    ?assertEqual({error, {context_died, noproc}}, py:to_term(Ref)),
    ok = py_context:release(Ref).

%% Only the whole shape is a reference.
ordinary_tuples(_) ->
    C = py:context(1),
    [?assertEqual({ok, T}, py:call(C, copy, copy, [T]))
     || T <- [{py_ref}, {py_ref, 1, 2}, {a, 1, 2, 3, 4}, {1, 2, 3, 4, 5},
              {<<"py_ref">>, 1, 2, 3, 4}]].

collected(_) ->
    C = py:context(1),
    ok = counted(C),
    _ = [make(C, '__main__', 'Counted', []) || _ <- lists:seq(1, 100)],
    alive(C, 0),
    Kept = make(C, '__main__', 'Counted', []),
    alive(C, 1),
    ?assert(py:is_ref(Kept)).

collected_with_its_owner(_) ->
    C = py:context(1),
    ok = counted(C),
    Live = py_ref_nif:live(),
    [ok] = py_ct:parallel(1, fun(_) ->
        Refs = [make(C, '__main__', 'Counted', []) || _ <- lists:seq(1, 1000)],
        {ok, 1000} = py:eval(C, "Counted.alive"),
        1000 = length(Refs),
        ok
    end),
    alive(C, 0),
    ?assert(py_ref_nif:live() =< Live).

%% A copy in a table, or in another process, is one that is held.
kept_elsewhere(_) ->
    C = py:context(1),
    ok = counted(C),
    Table = ets:new(kept, [public]),
    [true] = py_ct:parallel(1, fun(_) ->
        ets:insert(Table, {ref, make(C, '__main__', 'Counted', [])})
    end),
    alive(C, 1),
    true = ets:delete(Table),
    alive(C, 0).

%% The caller has gone when the answer comes.
unwanted_answers(_) ->
    C = py:context(1),
    ok = counted(C),
    ok = py:exec(C, "import time\n"
                    "def slow():\n"
                    "    try: time.sleep(3600)\n"
                    "    except KeyboardInterrupt: pass\n"
                    "    return Counted()\n"),
    {error, timeout} = py:call(C, '__main__', slow, [], #{timeout => 100, return => ref}),
    alive(C, 0),
    {Pid, Mon} = spawn_monitor(fun() ->
                                       py:call(C, '__main__', slow, [], #{return => ref})
                               end),
    py_ct:eventually(fun() -> {ok, #{stats := S}} = py_context:info(C),
                              maps:get(pending, S) > 0 end),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    alive(C, 0).

streams_end_with_their_owner(_) ->
    streams_end_with_their_owner_too("def"),
    streams_end_with_their_owner_too("async def").

streams_end_with_their_owner_too(Def) ->
    C = py:context(1),
    ok = py:exec(C, ["ended = []\n", Def, " count():\n"
                    "    try:\n"
                    "        while True: yield 1\n"
                    "    finally: ended.append(1)\n"]),
    {ok, #{stats := #{answers := Before}}} = py_context:info(C),
    {Pid, Mon} = spawn_monitor(fun() -> py:stream(C, '__main__', count, []) end),
    py_ct:eventually(fun() -> {ok, #{stats := #{answers := A}}} = py_context:info(C),
                              A > Before + 10
                     end),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    py_ct:eventually(fun() -> py:eval(C, "ended") =:= {ok, [1]} end).

%% Written out and read back it is the same as long as it is held somewhere.
by_external_term(_) ->
    C = py:context(1),
    Ref = make(C),
    Same = binary_to_term(term_to_binary(Ref)),
    ?assertEqual(Ref, Same),
    ?assertEqual({ok, 3}, py:call(C, builtins, len, [Same])).

%% Neither the helper nor the VM grows.
a_million(_) ->
    C = py:context(1),
    ok = py:exec(C, "import gc, resource\n"
                    "def rss():\n"
                    "    with open('/proc/self/statm') as f:\n"
                    "        return int(f.read().split()[1]) * resource.getpagesize()\n"),
    Round = fun(N) -> _ = py_ct:parallel(2, fun(_) -> many(C, N) end), settle(C) end,
    ok = Round(50000),
    {ok, Before} = py:eval(C, "rss()"),
    Memory = erlang:memory(total),
    ok = Round(500000),
    {ok, After} = py:eval(C, "rss()"),
    ?assert(After - Before < 64 bsl 20),
    ?assert(erlang:memory(total) - Memory < 64 bsl 20),
    ?assertEqual({ok, 7}, py:eval(C, "3 + 4")).

many(_, 0) ->
    ok;
many(C, N) ->
    {ok, _} = py:call(C, builtins, bytearray, [100], #{return => ref}),
    many(C, N - 1).

settle(C) ->
    py_ct:eventually(fun() ->
                             _ = [erlang:garbage_collect(P) || P <- processes()],
                             py_ref_nif:live() =< 10 andalso
                                 process_info(C, message_queue_len) =:= {message_queue_len, 0}
                     end).
