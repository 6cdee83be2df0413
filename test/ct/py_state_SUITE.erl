%% SPDX-License-Identifier: Apache-2.0
%% @doc State that Erlang and Python share, and shared dictionaries.
-module(py_state_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(MAX, 50).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [from_both_sides, one_key, values, counters, counters_of_many, not_an_integer, a_cap,
     a_cap_for_many, clear, by_threads, python_errors, configuration, not_started,
     dictionaries, dictionary_of_a_caller, dictionary_of_python, dictionary_of_a_thread,
     dictionary_destroyed_meanwhile, foreign_handles, atoms].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}, {state_max, ?MAX}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(not_started, Config) ->
    Config;
init_per_testcase(_, Config) ->
    ok = py:state_clear(),
    [ok = py:exec(py:context(N), "import erlang") || N <- [1, 2]],
    Config.

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

from_both_sides(_) ->
    ?assertEqual({error, not_found}, py:state_fetch(a)),
    ?assertEqual({ok, none}, py:eval("erlang.state_get('a')")),
    ?assertEqual({ok, 7}, py:eval("erlang.state_get('a', 7)")),
    ok = py:state_store(a, 1),
    ?assertEqual({ok, 1}, py:eval(py:context(1), "erlang.state_get('a')")),
    ok = py:exec(py:context(1), "erlang.state_set('a', [1, 'two'])"),
    ?assertEqual({ok, [1, <<"two">>]}, py:state_fetch(a)),
    ?assertEqual({ok, [1, <<"two">>]}, py:eval(py:context(2), "erlang.state_get('a')")),
    ?assertEqual([<<"a">>], py:state_keys()),
    ?assertEqual({ok, [<<"a">>]}, py:eval("erlang.state_keys()")),
    ok = py:exec("erlang.state_delete('a'); erlang.state_delete('a')"),
    ?assertEqual({error, not_found}, py:state_fetch(a)),
    ok = py:state_remove(a).

%% A name is one key; so it is inside a tuple.
one_key(_) ->
    Names = [name, "name", <<"name">>],
    [begin
         ok = py:state_store(N, N),
         [?assertEqual({ok, N}, py:state_fetch(Other)) || Other <- Names]
     end || N <- Names],
    Python = ["'name'", "erlang.atom('name')", "b'name'"],
    [begin
         ok = py:exec(["erlang.state_set(", P, ", 'by python')"]),
         [?assertEqual({ok, <<"by python">>}, py:state_fetch(N)) || N <- Names]
     end || P <- Python],
    ?assertEqual([<<"name">>], py:state_keys()),
    ok = py:state_store({user, "x", 1}, here),
    ?assertEqual({ok, true}, py:eval("erlang.state_get(('user', 'x', 1)) == 'here'")),
    ok = py:state_store("größe", 1),
    ?assertEqual({ok, 1}, py:eval("erlang.state_get(k)", #{k => <<"größe"/utf8>>})),
    %% These are no names.
    [begin
         ok = py:state_store(K, K),
         ?assertEqual({ok, K}, py:state_fetch(K))
     end || K <- [1, 1.5, #{a => 1}, [a, b], self()]].

values(_) ->
    Values = [none, true, <<"b">>, 1 bsl 100, 1.5, [], {}, #{k => [1]}, self(), make_ref()],
    [begin
         ok = py:state_store(v, V),
         {ok, none} = py:eval("erlang.state_set('w', erlang.state_get('v'))"),
         {ok, W} = py:state_fetch(w),
         case V of
             #{} -> ?assertEqual(#{<<"k">> => [1]}, maps:fold(fun key/3, #{}, W));
             _ -> ?assertEqual(V, W)
         end
     end || V <- Values].

key(K, V, Acc) -> Acc#{py_state:key(K) => V}.

counters(_) ->
    ?assertEqual(1, py:state_incr(hits)),
    ?assertEqual(11, py:state_incr("hits", 10)),
    ?assertEqual({ok, 12}, py:eval("erlang.state_incr('hits')")),
    ?assertEqual({ok, 10}, py:eval("erlang.state_decr('hits', 2)")),
    ?assertEqual(9, py:state_decr(hits)),
    ?assertEqual(-1, py:state_decr(hits, 10)),
    ?assertEqual({ok, 1 bsl 70}, py:eval("erlang.state_incr('big', 2**70)")),
    ?assertEqual({error, {invalid, by, 1.5}}, py:state_incr(hits, 1.5)),
    ?assertEqual({error, {invalid, by, x}}, py:state_decr(hits, x)),
    ?assertEqual({ok, -1}, py:state_fetch(hits)).

%% Erlang and two contexts at once, on a counter that is not there yet.
counters_of_many(_) ->
    N = 2000,
    Loop = io_lib:format("for _ in range(~b): erlang.state_incr('c')", [N]),
    Done = py_ct:parallel(6, fun(I) when I < 3 -> py:exec(py:context(I), Loop);
                                (_) -> lists:foreach(fun(_) -> py:state_incr(c) end,
                                                     lists:seq(1, N))
                             end),
    ?assertEqual([ok], lists:usort(Done)),
    ?assertEqual({ok, 6 * N}, py:state_fetch(c)).

not_an_integer(_) ->
    [begin
         ok = py:state_store(k, V),
         ?assertEqual({error, {not_an_integer, <<"k">>}}, py:state_incr(k)),
         ?assertMatch({error, {"TypeError", _}}, py:eval("erlang.state_incr('k')")),
         ?assertEqual({ok, V}, py:state_fetch(k))
     end || V <- [1.5, <<"1">>, [1], none]],
    ?assertMatch({error, {"TypeError", _}}, py:eval("erlang.state_incr('n', 1.5)")),
    ?assertEqual({error, not_found}, py:state_fetch(n)).

a_cap(_) ->
    [ok = py:state_store(I, I) || I <- lists:seq(1, ?MAX)],
    Full = {error, {state_full, ?MAX}},
    ?assertEqual(Full, py:state_store(new, 1)),
    ?assertEqual(Full, py:state_incr(new)),
    ?assertEqual({error, {"OverflowError", "the state holds 50 entries, its maximum"}},
                 py:eval("erlang.state_set('new', 1)")),
    ?assertMatch({error, {"OverflowError", _}}, py:eval("erlang.state_incr('new')")),
    %% What is there may change.
    ok = py:state_store(1, again),
    3 = py:state_incr(2),
    ok = py:state_remove(7),
    ok = py:state_remove(7),
    ok = py:state_store(new, 1),
    ?assertEqual(Full, py:state_store(newer, 1)),
    ?assertEqual(?MAX, length(py:state_keys())).

%% Never one more, and never one fewer, however they come and go together.
a_cap_for_many(_) ->
    Seen = py_ct:parallel(8, fun(I) ->
                                     rand:seed(exsss, I),
                                     lists:max([random_step(rand:uniform(3), rand:uniform(2 * ?MAX))
                                                || _ <- lists:seq(1, 5000)])
                             end),
    %% One that died gave no number, which is more than any.
    ?assert(lists:max(Seen) =< ?MAX),
    There = length(py:state_keys()),
    ?assert(There =< ?MAX),
    Stored = [ok || I <- lists:seq(1000, 1000 + ?MAX), py:state_store(I, I) =:= ok],
    ?assertEqual(?MAX - There, length(Stored)).

%% How many entries there are then: one row holds their number.
random_step(Kind, K) ->
    _ = case Kind of
            1 -> py:state_remove(K);
            2 -> py:state_incr(K);
            3 -> py:state_store(K, K)
        end,
    ets:info(py_state, size) - 1.

clear(_) ->
    [ok = py:state_store(I, I) || I <- lists:seq(1, ?MAX)],
    ok = py:exec("erlang.state_clear()"),
    ?assertEqual([], py:state_keys()),
    [ok = py:state_store(I, I) || I <- lists:seq(1, ?MAX)],
    ok = py:state_clear(),
    ?assertEqual([], py:state_keys()).

by_threads(_) ->
    Code = "import threading\n"
           "def work():\n"
           "    for _ in range(200): erlang.state_incr('t')\n"
           "ts = [threading.Thread(target=work) for _ in range(4)]\n"
           "[t.start() for t in ts]\n"
           "[t.join() for t in ts]\n",
    ok = py:exec(Code),
    ?assertEqual({ok, 800}, py:state_fetch(t)).

python_errors(_) ->
    {error, {"ErlangError", Text}} =
        py:eval("erlang.state_set('a', erlang.Atom('no_such_atom_x1'))"),
    ?assertNotEqual(nomatch, string:find(Text, "no_such_atom_x1")),
    ?assertMatch({error, {"EncodeError", _}}, py:eval("erlang.state_set('a', object())")),
    ?assertEqual([], py:state_keys()).

configuration(_) ->
    [?assertEqual({error, {invalid, state_max, V}}, terrarium_config:validate([{state_max, V}]))
     || V <- [0, -1, x, 1.5]],
    {ok, #{state_max := 7}} = terrarium_config:validate([{state_max, 7}]).

%% It does not outlive the application, and says so.
not_started(_) ->
    ok = py:state_store(a, 1),
    ok = py_ct:stop(),
    [?assertEqual({error, not_started}, R)
     || R <- [py:state_store(a, 1), py:state_fetch(a), py:state_incr(a), py:state_keys(),
              py:state_clear(), py:state_remove(a)]],
    ok = py_ct:start([{contexts, 2}, {state_max, ?MAX}]),
    ?assertEqual([], py:state_keys()).

%%% Dictionaries

dictionaries(_) ->
    {ok, D} = py:shared_dict_new(),
    ?assertEqual(undefined, py:shared_dict_get(D, a)),
    ?assertEqual(x, py:shared_dict_get(D, a, x)),
    ok = py:shared_dict_set(D, a, 1),
    Eval = fun(Code) -> py:eval(["(lambda d: ", Code, ")(erlang.SharedDict(h))"], #{h => D}) end,
    ?assertEqual({ok, [1, 1, none, 5, true, false, 1]},
                 Eval("[d['a'], d.get('a'), d.get('b'), d.get('b', 5), 'a' in d, 'b' in d,"
                      " len(d)]")),
    ?assertEqual({ok, none}, Eval("d.update(b=2, c=[3])")),
    ?assertEqual([<<"a">>, <<"b">>, <<"c">>], lists:sort(py:shared_dict_keys(D))),
    ?assertEqual([3], py:shared_dict_get(D, "c")),
    ?assertEqual({ok, [2, false]}, Eval("[d.pop('b'), 'b' in d]")),
    ?assertEqual({error, {"KeyError", "'b'"}}, Eval("d['b']")),
    ?assertEqual({error, {"KeyError", "'b'"}}, Eval("d.__delitem__('b')")),
    ?assertEqual({ok, [<<"a">>, <<"c">>]}, Eval("sorted(d)")),
    ?assertEqual({ok, true},
                 Eval("d == erlang.SharedDict(h) and hash(d) == hash(erlang.SharedDict(h))")),
    ok = py:shared_dict_del(D, a),
    ok = py:shared_dict_del(D, a),
    ?assertEqual({ok, D}, Eval("d.handle")),
    ?assertEqual({ok, none}, Eval("d.destroy()")),
    ok = py:shared_dict_destroy(D),
    ?assertEqual({error, destroyed}, py:shared_dict_get(D, c)),
    ?assertEqual({error, destroyed}, py:shared_dict_set(D, c, 1)),
    ?assertEqual({error, destroyed}, py:shared_dict_keys(D)),
    ?assertMatch({error, {"ReferenceError", _}}, Eval("d['c']")).

dictionary_of_a_caller(_) ->
    Self = self(),
    {Pid, Mon} = spawn_monitor(fun() ->
                                       {ok, D} = py:shared_dict_new(),
                                       ok = py:shared_dict_set(D, k, v),
                                       Self ! {made, D},
                                       receive stop -> ok end
                               end),
    D = receive {made, Made} -> Made end,
    ?assertEqual(v, py:shared_dict_get(D, k)),
    Pid ! stop,
    receive {'DOWN', Mon, process, _, normal} -> ok end,
    py_ct:eventually(fun() -> py:shared_dict_get(D, k) =:= {error, destroyed} end).

%% While somebody looks for a key, which takes long to make.
dictionary_destroyed_meanwhile(_) ->
    Key = list_to_tuple(lists:seq(1, 2000000)),
    {ok, D} = py:shared_dict_new(),
    {Pid, Mon} = spawn_monitor(fun() -> exit({got, py:shared_dict_get(D, Key, none)}) end),
    py_ct:eventually(fun() ->
                             case process_info(Pid, current_function) of
                                 {_, {M, _, _}} -> M =:= py_state orelse M =:= lists;
                                 undefined -> true
                             end
                     end),
    ok = py:shared_dict_destroy(D),
    Got = receive {'DOWN', Mon, process, _, {got, What}} -> What end,
    ?assert(lists:member(Got, [none, {error, destroyed}])).

%% Made by a request, it belongs to the process that made that.
dictionary_of_python(_) ->
    Make = "(lambda d: (d.update(k='v'), d.handle)[1])(erlang.SharedDict())",
    {ok, Mine} = py:eval(Make),
    ?assertEqual(<<"v">>, py:shared_dict_get(Mine, k)),
    [{ok, Theirs}] = py_ct:parallel(1, fun(_) -> py:eval(Make) end),
    py_ct:eventually(fun() -> py:shared_dict_get(Theirs, k) =:= {error, destroyed} end),
    ok = py:shared_dict_destroy(Mine).

%% Made outside of any, it belongs to the context.
dictionary_of_a_thread(_) ->
    {ok, C} = py_context:new(#{}),
    Code = "import erlang, threading\n"
           "def make(): global d; d = erlang.SharedDict(); d['k'] = 1\n"
           "t = threading.Thread(target=make); t.start(); t.join()\n",
    ok = py:exec(C, Code),
    {ok, D} = py:eval(C, "d.handle"),
    ?assertEqual(1, py:shared_dict_get(D, k)),
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> py:shared_dict_get(D, k) =:= {error, destroyed} end).

%% No other table can be reached.
foreign_handles(_) ->
    Secret = ets:new(secret, [public]),
    true = ets:insert(Secret, {<<"k">>, v}),
    ?assertEqual({error, destroyed}, py:shared_dict_get({py_shared_dict, Secret}, k)),
    ?assertMatch({error, {"ReferenceError", _}},
                 py:eval("erlang.SharedDict((erlang.Atom('py_shared_dict'), r))", #{r => Secret})),
    ?assertEqual({error, destroyed}, py:shared_dict_get({py_shared_dict, make_ref()}, k)),
    ?assertEqual({error, {invalid, handle, py_state}}, py:shared_dict_get(py_state, k)),
    ?assertMatch({error, {"TypeError", _}}, py:eval("erlang.SharedDict('py_state')")),
    ?assertMatch({error, {"TypeError", _}}, py:eval("erlang.SharedDict(5)")).

atoms(_) ->
    ok = py:exec("erlang.state_set('warm', 1)"),
    Before = erlang:system_info(atom_count),
    ok = py:exec("for i in range(40): erlang.state_set('key_never_seen_%d' % i, i)"),
    ?assertEqual(Before, erlang:system_info(atom_count)).
