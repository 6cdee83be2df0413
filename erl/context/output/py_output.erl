%% SPDX-License-Identifier: Apache-2.0
%% @doc What a helper writes to its standard output and error, cut into lines.
%% Pure.  A line without an end is passed on in pieces: memory is bounded.
-module(py_output).

-export([new/0, add/3, flush/1]).

-export_type([t/0, stream/0]).

-define(MAX_LINE, 8192).

-type stream() :: stdout | stderr.

-opaque t() :: #{stream() => binary()}.
%% The unfinished lines.

%% @doc Nothing yet.
-spec new() -> t().
new() ->
    #{stdout => <<>>, stderr => <<>>}.

%% @doc More bytes: the lines that are whole now.
-spec add(stream(), binary(), t()) -> {[binary()], t()}.
add(Stream, Bytes, Output) ->
    #{Stream := Before} = Output,
    Parts = binary:split(<<Before/binary, Bytes/binary>>, <<"\n">>, [global]),
    {Lines, [Last]} = lists:split(length(Parts) - 1, Parts),
    {Pieces, Rest} = pieces(Last, []),
    {lists:flatmap(fun whole/1, Lines) ++ Pieces, Output#{Stream := binary:copy(Rest)}}.

whole(Line) ->
    {Pieces, Rest} = pieces(without_cr(Line), []),
    Pieces ++ [Rest].

without_cr(Line) ->
    Size = byte_size(Line) - 1,
    case Line of
        <<Text:Size/binary, "\r">> -> Text;
        _ -> Line
    end.

pieces(<<Piece:?MAX_LINE/binary, Rest/binary>>, Acc) ->
    pieces(Rest, [Piece | Acc]);
pieces(Rest, Acc) ->
    {lists:reverse(Acc), Rest}.

%% @doc The helper is gone: the unfinished lines.
-spec flush(t()) -> [{stream(), binary()}].
flush(Output) ->
    [{Stream, Rest} || {Stream, Rest} <- maps:to_list(Output), Rest =/= <<>>].
