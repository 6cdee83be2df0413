%% SPDX-License-Identifier: Apache-2.0
%% @doc Backtraces in what a helper writes to its standard error: pieces, each with
%% a mark and a token, that are cut out of it; and who waits for one.  Pure, but
%% for the signal and the answers.
%%
%% There is one under way at a time; who asks meanwhile gets the same.
-module(py_backtrace).

-export([new/0, ask/3, feed/3, gave_up/2, gone/1, strip/1]).

-export_type([t/0]).

-include("../../port/py_wire.hrl").

-define(MARK, 0, "TBT").
-define(HEAD, 15).
-define(WAIT_MS, 3000).

-record(asked, {token = none :: none | pos_integer(),
                from = [] :: [gen_statem:from()],
                text = [] :: iolist(),
                pieces = 0 :: non_neg_integer(), % of the text
                rest = <<>> :: binary()}).

-opaque t() :: #asked{}.

%% @doc Nobody asks.
-spec new() -> t().
new() ->
    #asked{}.

%% @doc Somebody does: the gen_statem's actions.
-spec ask(gen_statem:from(), port(), t()) -> {t(), [gen_statem:action()]}.
ask(From, Port, #asked{from = []} = Asked) ->
    Token = erlang:unique_integer([positive]),
    case py_port:backtrace(Port, Token) of
        ok ->
            {Asked#asked{token = Token, from = [From], text = [], pieces = 0},
             [{{timeout, backtrace}, ?WAIT_MS, Token}]};
        {error, _} ->
            {Asked, [{reply, From, {error, unavailable}}]}
    end;
ask(From, _, #asked{from = Others} = Asked) ->
    {Asked#asked{from = [From | Others]}, []}.

%% @doc It took too long.  What comes later is still cut out.
-spec gave_up(non_neg_integer(), t()) -> t().
gave_up(Token, #asked{token = Token} = Asked) ->
    answer({error, timeout}, Asked);
gave_up(_, Asked) ->
    Asked.

%% @doc The helper is gone.
-spec gone(t()) -> t().
gone(Asked) ->
    answer({error, unavailable}, Asked#asked{rest = <<>>}).

answer(Result, #asked{from = From} = Asked) ->
    _ = [gen_statem:reply(F, Result) || F <- From],
    Asked#asked{token = none, from = [], text = [], pieces = 0}.

%% @doc Bytes of a stream: those that are no part of a backtrace; and how many there
%% were in pieces that nobody has asked for, or no more: they count as output.
-spec feed(py_output:stream(), binary(), t()) -> {binary(), non_neg_integer(), t()}.
feed(stdout, Bytes, Asked) ->
    {Bytes, 0, Asked};
feed(stderr, Bytes, #asked{rest = <<>>} = Asked) ->
    cut(Bytes, [], 0, Asked);
feed(stderr, Bytes, #asked{rest = Rest} = Asked) ->
    cut(<<Rest/binary, Bytes/binary>>, [], 0, Asked#asked{rest = <<>>}).

cut(Bytes, Before, Lost, Asked) ->
    case binary:match(Bytes, <<0>>) of
        nomatch ->
            {iolist_to_binary([Before, Bytes]), Lost, Asked};
        {At, 1} ->
            <<Plain:At/binary, Start/binary>> = Bytes,
            case piece(Start) of
                {piece, Token, Last, Text, Rest} ->
                    {Unasked, Next} = piece(Token, Last, Text, Asked),
                    cut(Rest, [Before, Plain], Lost + Unasked, Next);
                more ->
                    {iolist_to_binary([Before, Plain]), Lost,
                     Asked#asked{rest = binary:copy(Start)}};
                none ->
                    <<0, After/binary>> = Start,
                    cut(After, [Before, Plain, 0], Lost, Asked)
            end
    end.

piece(<<?MARK, Token:64/little, Last, Size:16/little, Text:Size/binary, Rest/binary>>)
  when Size =< ?WIRE_BACKTRACE_PIECE ->
    {piece, Token, Last, Text, Rest};
piece(<<?MARK, _:64, _, Size:16/little, _/binary>>) when Size > ?WIRE_BACKTRACE_PIECE ->
    none;
piece(<<?MARK, _/binary>>) ->
    more;
piece(Start) when byte_size(Start) < 4 ->
    Size = byte_size(Start),
    case <<?MARK>> of
        <<Start:Size/binary, _/binary>> -> more;
        _ -> none
    end;
piece(_) ->
    none.

%% How many bytes were for nobody, and what there is now.
piece(Token, Last, Part, #asked{token = Token, text = Text, pieces = N} = Asked) ->
    More = [Text, binary:copy(Part)],
    case Last of
        0 when N + 1 < ?WIRE_BACKTRACE_PIECES -> {0, Asked#asked{text = More, pieces = N + 1}};
        _ -> {0, answer({ok, iolist_to_binary(More)}, Asked)}
    end;
piece(_, _, Part, Asked) ->
    {?HEAD + byte_size(Part), Asked}.

%% @doc The tail of a standard error, without the backtraces in it.
-spec strip(binary()) -> binary().
strip(Tail) ->
    {Plain, _, _} = feed(stderr, Tail, new()),
    Plain.
