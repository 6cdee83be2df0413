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
normal(M) when is_map(M) -> maps:from_list([{key(K), normal(V)} || {K, V} <- maps:to_list(M)]);
normal(T) -> T.

%% A list is no key in Python: it becomes a tuple.
key(K) when is_list(K) ->
    case is_proper(K) of
        true -> list_to_tuple([key(E) || E <- K]);
        false -> normal(K)
    end;
key(K) when is_tuple(K) ->
    case K of
        {bytes, B} when is_binary(B) -> B;
        _ -> list_to_tuple([key(E) || E <- tuple_to_list(K)])
    end;
key(K) ->
    normal(K).

is_proper(L) ->
    try length(L) of
        _ -> true
    catch
        error:badarg -> false
    end.

any_term() ->
    ?SIZED(Size, term_of(Size)).

term_of(0) ->
    leaf();
term_of(Size) ->
    Smaller = ?LAZY(term_of(Size div 3)),
    frequency([{4, leaf()},
               {2, list(Smaller)},
               {2, loose_tuple(Smaller)},
               {2, ?LET(Pairs, list({key(), Smaller}), maps:from_list(Pairs))},
               {1, ?LET({L, T}, {non_empty(list(Smaller)), improper_tail()}, L ++ T)}]).

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

%% No floats, booleans or `none' beside integers: 1, 1.0 and True are one key
%% in Python; no atom beside the binary of the same text.
key() ->
    oneof([integer(), oneof([ok, error, lists, proper, 'with space']),
           ?LET(B, binary(), <<"k", B/binary>>),
           {integer(), ?LET(B, binary(), <<"k", B/binary>>)},
           non_empty(list(range(-5, 5)))]).
