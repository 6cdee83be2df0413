%% SPDX-License-Identifier: Apache-2.0
%% @doc Backtraces in what a helper writes to its standard error: pieces, each with
%% a mark and a token, that are cut out of it; and who waits for one.  Pure, but
%% for the signal and the answers.
%%
%% There is one under way at a time; who asks meanwhile gets the same.
-module(py_backtrace).

-export([new/0, ask/3, feed/3, gave_up/2, gone/1, strip/1]).

-export_type([t/0]).

-define(MARK, 0, "TBT").
-define(HEAD, 15).
-define(WAIT_MS, 3000).

-record(asked, {token = 0 :: non_neg_integer(),
                from = [] :: [gen_statem:from()],
                text = [] :: iolist(),
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
            {Asked#asked{token = Token, from = [From], text = []},
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
    Asked#asked{token = 0, from = [], text = []}.

%% @doc Bytes of a stream: those that are no part of a backtrace.
-spec feed(py_output:stream(), binary(), t()) -> {binary(), t()}.
feed(stdout, Bytes, Asked) ->
    {Bytes, Asked};
feed(stderr, Bytes, #asked{rest = <<>>} = Asked) ->
    case binary:match(Bytes, <<0>>) of
        nomatch -> {Bytes, Asked};
        _ -> cut(Bytes, [], Asked)
    end;
feed(stderr, Bytes, #asked{rest = Rest} = Asked) ->
    cut(<<Rest/binary, Bytes/binary>>, [], Asked#asked{rest = <<>>}).

cut(Bytes, Before, Asked) ->
    case binary:split(Bytes, <<0>>) of
        [All] ->
            {iolist_to_binary([Before, All]), Asked};
        [Plain, After] ->
            case piece(<<0, After/binary>>) of
                {piece, Token, Last, Text, Rest} ->
                    cut(Rest, [Before, Plain], piece(Token, Last, Text, Asked));
                more ->
                    {iolist_to_binary([Before, Plain]),
                     Asked#asked{rest = <<0, After/binary>>}};
                none ->
                    cut(After, [Before, Plain, 0], Asked)
            end
    end.

piece(<<?MARK, Token:64/little, Last, Size:16/little, Text:Size/binary, Rest/binary>>) ->
    {piece, Token, Last, Text, Rest};
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

piece(Token, Last, Part, #asked{token = Token, text = Text} = Asked) ->
    More = [Text, Part],
    case Last of
        0 -> Asked#asked{text = More};
        _ -> answer({ok, iolist_to_binary(More)}, Asked)
    end;
piece(_, _, _, Asked) ->
    Asked.

%% @doc The tail of a standard error, without the backtraces in it.
-spec strip(binary()) -> binary().
strip(Tail) ->
    {Plain, #asked{}} = feed(stderr, Tail, new()),
    Plain.
