%% SPDX-License-Identifier: Apache-2.0
%% @doc The ETF checker and the VM's decoder on the same bytes, very many of them.
%%
%% Each case of the property is a thousand bodies: terms as term_to_binary/2 writes
%% them, damaged in one place or several.  What the checker accepts must decode, and
%% where it does not, the reason must be one of those that the checker leaves to the
%% decoder (etf_check.h).  `PROP_TESTS=1000' is a million bodies.
-module(prop_etf_differential).

-include_lib("proper/include/proper.hrl").

-export([setup/0, teardown/1, prop_accepted_decodes/0]).

-define(BODIES, 1000).
-define(ALL, 3).
-define(PORT, {?MODULE, port}).

%% @doc Nothing: the checker ends with the process that owns its port.
-spec setup() -> ok.
setup() -> ok.

%% @doc Nothing.
-spec teardown(ok) -> ok.
teardown(ok) -> ok.

%% @doc What is accepted decodes.
-spec prop_accepted_decodes() -> proper:test().
prop_accepted_decodes() ->
    ?FORALL({Seed, Term}, {integer(), term()},
        begin
            _ = rand:seed(exsss, {Seed, erlang:phash2(Term), 7}),
            Bases = bases(Term),
            Bodies = [damaged(lists:nth(rand:uniform(length(Bases)), Bases))
                      || _ <- lists:seq(1, ?BODIES)],
            Verdicts = verdicts(Bodies),
            Wrong = [Body || {Body, 0} <- lists:zip(Bodies, Verdicts), not is_right(Body)],
            Accepted = length([ok || 0 <- Verdicts]),
            aggregate([accepted || _ <- lists:seq(1, Accepted)]
                      ++ [refused || _ <- lists:seq(1, ?BODIES - Accepted)],
                ?WHENFAIL(io:format("~w~n", [Wrong]), equals(Wrong, [])))
        end).

%%% Bodies

bases(Term) ->
    Remote = binary_to_term(<<131, 88, 119, 2, "ok", 1:32, 2:32, 3:32>>),
    Terms = [Term, [Term, Remote], {Term, 1.5, <<5:3>>}, #{Term => Term}, [fun lists:map/2],
             lists:seq(1, 20), lists:seq(250, 260), {[], {}, #{}, <<>>}, 1 bsl 300, -(1 bsl 3000),
             'héé', [ok | error], erlang:make_tuple(260, ok), binary:copy(<<"x">>, 300),
             [[[[[[Remote]]]]]], #{1 => #{2 => #{3 => Remote}}}],
    [term_to_binary(T, [{minor_version, 2}]) || T <- Terms, is_plain(T)].

%% Identifiers of this node, and funs made here, have limits of their own.
is_plain(T) when is_pid(T); is_port(T); is_reference(T) -> node(T) =/= node();
is_plain(T) when is_function(T) -> erlang:fun_info(T, type) =:= {type, external};
is_plain([H | T]) -> is_plain(H) andalso is_plain(T);
is_plain(T) when is_tuple(T) -> is_plain(tuple_to_list(T));
is_plain(T) when is_map(T) -> is_plain(maps:to_list(T));
is_plain(_) -> true.

damaged(Body) ->
    lists:foldl(fun(_, B) -> hit(rand:uniform(7), B) end, Body,
                lists:seq(1, lists:nth(rand:uniform(6), [1, 1, 1, 2, 3, 8]))).

hit(_, Body) when byte_size(Body) < 2 ->
    Body;
hit(Kind, Body) ->
    At = rand:uniform(byte_size(Body)) - 1,
    <<Before:At/binary, Old, After/binary>> = Body,
    case Kind of
        1 -> <<Before/binary, (rand:uniform(256) - 1), After/binary>>;
        2 -> <<Before/binary, (tag()), After/binary>>;
        3 -> <<Before/binary, (Old bxor (1 bsl (rand:uniform(8) - 1))), After/binary>>;
        4 -> <<Before/binary, (tag()), Old, After/binary>>;
        5 -> <<Before/binary, After/binary>>;
        6 -> <<Before/binary, (edge()), Old, After/binary>>;
        7 -> moved(Before, Old, After)
    end.

%% A piece of it again, somewhere else.
moved(Before, Old, After) ->
    N = rand:uniform(min(16, byte_size(After) + 1)) - 1,
    <<Piece:N/binary, _/binary>> = After,
    <<Before/binary, Piece/binary, Old, After/binary>>.

tag() ->
    66 + rand:uniform(55).

edge() ->
    lists:nth(rand:uniform(7), [0, 1, 127, 128, 131, 254, 255]).

%%% The two decoders

is_right(Body) ->
    try binary_to_term(Body, [safe, used]) of
        {_, Used} -> Used =:= byte_size(Body)
    catch
        error:badarg -> is_excused(Body)
    end.

%% An atom or an exported function that does not exist, a key twice, or an identifier
%% that says it is of this node.
is_excused(Body) ->
    py_etf_atoms:unknown(Body) =/= none
        orelse lists:any(fun(Part) -> binary:match(Body, Part) =/= nomatch end,
                         [<<116>>, <<113>>, <<112>>, atom_to_binary(node())]).

%% All are sent before the first verdict is read; those are a byte each.
verdicts(Bodies) ->
    Port = port(),
    _ = [true = port_command(Port, B) || B <- Bodies],
    [receive
         {Port, {data, <<Verdict/signed>>}} -> Verdict;
         {Port, {exit_status, Status}} -> error({checker_died, Status})
     after 60000 -> error(checker_hangs)
     end || _ <- Bodies].

port() ->
    case get(?PORT) of
        undefined ->
            Program = filename:join(os:getenv("TERRARIUM_TEST_PROGS", "build/test"),
                                    "etf_check_cli"),
            Port = open_port({spawn_executable, Program},
                             [{args, [integer_to_list(?ALL), "1024", "0"]}, {packet, 4}, binary,
                              exit_status]),
            _ = put(?PORT, Port),
            Port;
        Port ->
            Port
    end.
