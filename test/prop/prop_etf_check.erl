%% SPDX-License-Identifier: Apache-2.0
%% @doc The ETF checker against the VM's own decoder.
%%
%% The checker runs as a program of its own behind a port (test/progs/etf_check_cli.c), so a
%% mistake of it ends that program and not this one.
%%
%% What it accepts, `binary_to_term(B, [safe])' decodes or calls a badarg; and where it does say
%% badarg, it is for one of the reasons that the checker documents: with the atoms known and the
%% keys of maps distinct, nothing is left to complain about. What `term_to_binary/2' writes of
%% plain data is accepted.
-module(prop_etf_check).

-include_lib("proper/include/proper.hrl").

-export([setup/0, teardown/1]).
-export([
    prop_plain_terms_are_accepted/0,
    prop_ids_and_funs_need_leave/0,
    prop_accepted_is_decoded_or_badarg/0,
    prop_built_terms_agree/0,
    prop_steps_do_not_matter/0,
    prop_depth/0
]).

-define(ALL, 3).
-define(PORT, {?MODULE, port}).
-define(E_REFUSED, -10).
-define(E_DEPTH, -9).

%%% What runs around the properties

%% @doc Nothing: each process that needs a checker starts its own.
-spec setup() -> ok.
setup() -> ok.

%% @doc Nothing: the checkers ended with the processes that own their ports.
-spec teardown(ok) -> ok.
teardown(ok) -> ok.

%%% Properties

%% @doc Plain data, as it is written with minor version 2 (UTF-8 atoms), needs no flag.
-spec prop_plain_terms_are_accepted() -> proper:test().
prop_plain_terms_are_accepted() ->
    ?FORALL(Term, plain(),
        check(0, term_to_binary(Term, [{minor_version, 2}])) =:= 0).

%% @doc Pids, ports, references and funs are refused until the flags allow them.
-spec prop_ids_and_funs_need_leave() -> proper:test().
prop_ids_and_funs_need_leave() ->
    ?FORALL({Kind, Term, Around}, special(),
        begin
            Etf = term_to_binary(Around(Term), [{minor_version, 2}]),
            Needed = case Kind of id -> 1; function -> 2 end,
            conjunction([
                {without, equals(check(?ALL - Needed, Etf), ?E_REFUSED)},
                {without_any, equals(check(0, Etf), ?E_REFUSED)},
                {with, equals(check(Needed, Etf), 0)},
                {with_all, equals(check(?ALL, Etf), 0)}
            ])
        end).

%% @doc Bytes of terms with bytes changed: the VM survives what is accepted.
-spec prop_accepted_is_decoded_or_badarg() -> proper:test().
prop_accepted_is_decoded_or_badarg() ->
    ?FORALL({Flags, Etf}, {oneof([0, ?ALL]), mutated()},
        begin
            Verdict = check(Flags, Etf),
            Decoded = decode(Etf),
            collect({Verdict =:= 0, element(1, Decoded)},
                ?WHENFAIL(io:format("~p: ~p, ~p~n", [Etf, Verdict, Decoded]),
                    Verdict =/= 0 orelse Decoded =:= {badarg} orelse is_ok(Decoded)))
        end).

%% @doc Terms built tag by tag, of known atoms and distinct keys, possibly damaged in one place:
%% here the two agree exactly.
-spec prop_built_terms_agree() -> proper:test().
prop_built_terms_agree() ->
    ?FORALL(Etf, built(),
        begin
            Verdict = check(?ALL, Etf),
            Decoded = decode(Etf),
            ?WHENFAIL(io:format("~w: ~p, ~p~n", [Etf, Verdict, Decoded]),
                equals(Verdict =:= 0, is_ok(Decoded)))
        end).

%% @doc Fed byte by byte or all at once, the verdict is one.
-spec prop_steps_do_not_matter() -> proper:test().
prop_steps_do_not_matter() ->
    ?FORALL({Step, Etf}, {range(1, 9), oneof([mutated(), built()])},
        equals(check(?ALL, Etf), check(?ALL, 1024, Step, Etf))).

%% @doc N lists inside each other pass where N levels are allowed, and not one more.
-spec prop_depth() -> proper:test().
prop_depth() ->
    ?FORALL({Depth, Max}, {range(0, 40), range(0, 40)},
        begin
            Term = lists:foldl(fun(_, T) -> [T] end, leaf, lists:seq(1, Depth)),
            Expected = case Depth =< Max of true -> 0; false -> ?E_DEPTH end,
            equals(check(0, Max, 0, term_to_binary(Term, [{minor_version, 2}])), Expected)
        end).

%%% Generators: terms

plain() -> ?SIZED(Size, plain(Size)).

plain(0) -> leaf();
plain(Size) ->
    Smaller = ?LAZY(plain(Size div 3)),
    frequency([
        {3, leaf()},
        {2, few(Smaller)},
        {1, ?LET({Item, Items, Tail}, {Smaller, few(Smaller), leaf()}, [Item | Items] ++ Tail)},
        {2, ?LET(Items, few(Smaller), list_to_tuple(Items))},
        {2, ?LET(Pairs, few({Smaller, Smaller}), maps:from_list(Pairs))}
    ]).

%% PropEr's own list/1 is as long in the depth as it is at the top.
few(Generator) -> ?LET(N, range(0, 5), vector(N, Generator)).

leaf() ->
    oneof([
        integer(), large(), float(), atom(), binary(), bitstring(), boolean(), [],
        oneof(['', 'héé', '日本語', list_to_atom(lists:duplicate(255, 16#1F40D))]),
        list(byte()), ?LET(N, range(250, 300), erlang:make_tuple(N, []))
    ]).

large() ->
    ?LET({Bits, Sign, Low}, {range(20, 3000), oneof([1, -1]), integer()},
        Sign * ((1 bsl Bits) + Low)).

special() ->
    {Kinds, Terms} = lists:unzip([
        {id, self()}, {id, make_ref()}, {id, hd(erlang:ports())},
        {id, binary_to_term(<<131, 88, 119, 2, "ok", 1:32, 2:32, 3:32>>)},
        {function, fun lists:map/2}, {function, fun() -> self() end}
    ]),
    Captured = [{function, begin X = {N, a}, fun() -> X end end} || N <- [1, 2]],
    ?LET({{Kind, Term}, Around}, {oneof(lists:zip(Kinds, Terms) ++ Captured), around()},
        {Kind, Term, Around}).

around() ->
    oneof([
        fun(T) -> T end, fun(T) -> [T] end, fun(T) -> {a, T} end,
        fun(T) -> #{T => 1} end, fun(T) -> [1 | T] end, fun(T) -> #{k => [{T}]} end
    ]).

%%% Generators: bytes

%% A term's bytes with some of them replaced, cut off, put in or taken out.
mutated() ->
    ?LET({Term, Changes}, {oneof([plain(), specials()]), changes()},
        lists:foldl(fun mutate/2, term_to_binary(Term, [{minor_version, 2}]), Changes)).

specials() -> ?LET({_, Term, Around}, special(), Around(Term)).

changes() -> ?LET(N, oneof([1, 1, 1, 2, 5]), vector(N, change())).

change() ->
    {oneof([replace, bump, insert, delete, truncate]), non_neg_integer(), interesting()}.

interesting() -> oneof([byte(), oneof([0, 1, 255, 131 | tags()])]).

tags() -> lists:seq(67, 121).

mutate({_, _, _}, <<>>) -> <<>>;
mutate({Kind, Where, Byte}, Etf) ->
    At = Where * 7919 rem byte_size(Etf),
    <<Before:At/binary, Old, After/binary>> = Etf,
    case Kind of
        replace -> <<Before/binary, Byte, After/binary>>;
        bump -> <<Before/binary, (Old + 1), After/binary>>;
        insert -> <<Before/binary, Byte, Old, After/binary>>;
        delete -> <<Before/binary, After/binary>>;
        truncate when Byte band 7 =:= 0 -> Before;
        truncate -> Etf
    end.

%% Terms written by hand, so that tags and lengths come in forms that the VM never writes.
built() ->
    ?LET(Parts, ?SIZED(Size, etf(min(Size, 30))), iolist_to_binary([131 | Parts])).

etf(0) -> etf_leaf();
etf(Size) ->
    Smaller = ?LAZY(etf(Size div 3)),
    frequency([
        {4, etf_leaf()},
        {1, ?LET(L, few(Smaller), [104, length(L) | L])},
        {1, ?LET(L, few(Smaller), [<<105, (length(L)):32>> | L])},
        {1, ?LET({L, Tail}, {few(Smaller), oneof([[106], Smaller])},
            [<<108, (length(L)):32>>, L, Tail])},
        {1, ?LET(L, few(Smaller), map_of(L))}
    ]).

%% The keys are the numbers from 0 on, so no two are equal.
map_of(Values) ->
    Pairs = [[97, N, V] || {N, V} <- lists:zip(lists:seq(0, length(Values) - 1), Values)],
    [<<116, (length(Values)):32>> | Pairs].

etf_leaf() ->
    frequency([
        {3, oneof([<<106>>, <<97, 7>>, <<98, -5:32>>, <<104, 0>>, <<105, 0:32>>, <<116, 0:32>>])},
        {2, ?LET(F, oneof([float(), nonfinite()]), float_ext(F))},
        {2, ?LET({N, S}, {range(0, 20), byte()}, [<<110, N, S>>, binary:copy(<<0, 3>>, N div 2),
                                                  binary:copy(<<0>>, N rem 2)])},
        {1, ?LET(N, range(0, 20), [<<111, N:32, 1>>, binary:copy(<<9>>, N)])},
        {3, ?LET({A, Small}, {known_atom(), boolean()}, atom_ext(A, Small))},
        {1, ?LET(B, binary(), [<<107, (byte_size(B)):16>>, B])},
        {1, ?LET(B, binary(), [<<109, (byte_size(B)):32>>, B])},
        {2, ?LET({B, Bits}, {non_empty(binary()), range(0, 10)},
            [<<77, (byte_size(B)):32, Bits>>, B])},
        {3, etf_id()},
        {1, oneof([<<113, 119, 5, "lists", 119, 3, "map", 97, 2>>])}
    ]).

nonfinite() -> oneof([<<16#7FF0:16, 0:48>>, <<16#FFF8:16, 1:48>>, <<16#7FEF:16, 0:48>>]).

float_ext(F) when is_float(F) -> <<70, F/float>>;
float_ext(Bytes) -> <<70, Bytes/binary>>.

known_atom() -> oneof([<<>>, <<"ok">>, <<"error">>, <<"héé"/utf8>>, <<"日本語"/utf8>>]).

atom_ext(A, true) -> [119, byte_size(A), A];
atom_ext(A, false) -> [<<118, (byte_size(A)):16>>, A].

%% Ids of another node: those of this one have limits that the checker cannot know.
etf_id() ->
    ?LET({Node, Creation, Words, Word, Short}, {
            oneof([<<119, 2, "ok">>, <<118, 2:16, "ok">>, <<97, 1>>, <<106>>]),
            range(0, 5), range(1, 7), oneof([0, 262143, 262144, 16#FFFFFFFF]), range(0, 15)
        },
        cut(Short, id_of(Node, Creation, Words, Word))).

id_of(Node, Creation, Words, Word) ->
    Wide = <<Creation:32>>,
    Old = <<Creation:8>>,
    Ids = [
        [88, Node, <<Word:32, 2:32>>, Wide], [103, Node, <<Word:32, 2:32>>, Old],
        [89, Node, <<Word:32>>, Wide], [102, Node, <<Word:32>>, Old],
        [120, Node, <<Word:64>>, Wide],
        [<<90, Words:16>>, Node, Wide, binary:copy(<<Word:32>>, Words)],
        [<<114, Words:16>>, Node, Old, binary:copy(<<Word:32>>, Words)]
    ],
    oneof(Ids).

%% Now and then the last byte is missing: then all that follows is read otherwise.
cut(0, Id) -> ?LET(Parts, Id, all_but_last(iolist_to_binary(Parts)));
cut(_, Id) -> Id.

all_but_last(Bytes) -> binary:part(Bytes, 0, byte_size(Bytes) - 1).

%%% The two decoders

decode(Etf) ->
    try {ok, binary_to_term(Etf, [safe, used])} of
        {ok, {_, Used}} when Used =:= byte_size(Etf) -> {ok};
        {ok, _} -> {trailing}
    catch
        error:badarg -> {badarg}
    end.

is_ok(Decoded) -> Decoded =:= {ok}.

check(Flags, Etf) -> check(Flags, 1024, 0, Etf).

check(Flags, Depth, Step, Etf) ->
    Port = port([integer_to_list(N) || N <- [Flags, Depth, Step]]),
    true = port_command(Port, Etf),
    receive
        {Port, {data, <<Verdict/signed>>}} -> Verdict;
        {Port, {exit_status, Status}} -> error({checker_died, Status, Etf})
    after 20000 ->
        error({checker_hangs, Etf})
    end.

%% One checker for each set of arguments; it ends with the process that asked first.
port(Args) ->
    case get({?PORT, Args}) of
        undefined ->
            Dir = os:getenv("TERRARIUM_TEST_PROGS", "build/test"),
            Port = open_port({spawn_executable, filename:join(Dir, "etf_check_cli")},
                [{args, Args}, {packet, 4}, binary, exit_status]),
            put({?PORT, Args}, Port),
            Port;
        Port ->
            Port
    end.
