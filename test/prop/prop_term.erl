%% SPDX-License-Identifier: Apache-2.0
%% @doc Any term survives Erlang to Python to Erlang.  What changes on the way
%% is what the table of types says: `normal/1' is that table.
-module(prop_term).

-include_lib("proper/include/proper.hrl").

-export([setup/0, teardown/1, prop_round_trip/0, prop_round_trip_large/0, prop_keys/0]).

setup() ->
    application:load(terrarium),
    application:set_env(terrarium, contexts, 1),
    {ok, _} = application:ensure_all_started(terrarium),
    ok = py:exec("def same(x): return x"),
    ok.

teardown(_) ->
    application:stop(terrarium).

same(Term) ->
    py:call('__main__', same, [Term]).

prop_round_trip() ->
    ?FORALL(T, any_term(), holds(T)).

prop_round_trip_large() ->
    ?FORALL({N, T}, {range(0, 300000), any_term()},
            holds({binary:copy(<<"b">>, N), [T, T], lists:seq(1, N rem 3000)})).

%% Keys that are equal in Python but not in Erlang are left out.
prop_keys() ->
    ?FORALL(Keys, list(key()),
            holds(maps:from_list([{K, I} || {I, K} <- lists:enumerate(Keys)]))).

holds(T) ->
    Expected = {ok, normal(T)},
    case same(T) of
        Expected -> true;
        Other -> io:format("~p~ncame back as~n~p~n", [T, Other]), false
    end.

%% The documented differences.
normal(nil) -> none;
normal(undefined) -> none;
normal({bytes, B}) when is_binary(B) -> B;
normal([H | T]) -> [normal(H) | normal(T)];
normal(T) when is_tuple(T) -> list_to_tuple([normal(E) || E <- tuple_to_list(T)]);
normal(M) when is_map(M) ->
    maps:from_list([{normal(K), normal(V)} || {K, V} <- maps:to_list(M)]);
normal(T) -> T.

any_term() ->
    ?SIZED(Size, term_of(Size)).

term_of(0) ->
    leaf();
term_of(Size) ->
    Smaller = ?LAZY(term_of(Size div 3)),
    frequency([{4, leaf()},
               {2, few(Smaller)},
               {2, ?LET(L, few(Smaller), list_to_tuple(L))},
               {2, ?LET(Pairs, few({key_of(Size div 3), Smaller}), maps:from_list(Pairs))},
               {1, ?LET({L, H, T}, {few(Smaller), Smaller, improper_tail()}, L ++ [H | T])}]).

%% PropEr's own lists grow with the size on every level: too much of it.
few(Type) ->
    ?LET(N, range(0, 5), vector(N, Type)).

leaf() ->
    frequency([{3, integer()},
               {2, ?LET({Sign, N}, {oneof([1, -1]), range(0, 2000)},
                        Sign * ((1 bsl N) + N))},
               {2, float()},
               {3, binary()},
               {3, utf8()},
               {2, bitstring()},
               {2, known_atom()},
               {2, list(range(0, 1114111))},
               {1, ?LAZY(self())},
               {1, ?LAZY(make_ref())},
               {1, ?LAZY(hd(erlang:ports()))},
               {1, exactly(fun lists:map/2)},
               {1, ?LET(X, integer(), fun() -> X end)},
               {1, {bytes, binary()}}]).

improper_tail() ->
    oneof([integer(), known_atom(), binary()]).

known_atom() ->
    oneof([true, false, nil, none, undefined, infinity, neg_infinity, nan, ok, error, '',
           'with space', 'ünïcödé', lists, prop_term]).

%% Keys that are different in Erlang and equal in Python are refused, so there
%% are none here: no floats and booleans beside integers, one of the atoms that
%% mean None, no binary with the text of an atom, no tuple with the elements of
%% a list.
key() ->
    ?SIZED(Size, key_of(min(Size, 8))).

key_of(0) ->
    oneof([integer(), oneof([ok, error, lists, proper, undefined, 'with space']),
           ?LET(B, binary(), <<"k", B/binary>>), ?LET(X, utf8(), <<"k", X/binary>>)]);
key_of(Size) ->
    Smaller = ?LAZY(key_of(Size div 2)),
    frequency([{5, key_of(0)},
               {1, few(Smaller)},
               {1, ?LET(L, few(Smaller), list_to_tuple([tuple | L]))},
               {1, ?LET(Pairs, few({Smaller, Smaller}), maps:from_list(Pairs))},
               {1, ?LET(N, range(1, 300), <<N:13>>)}]).
