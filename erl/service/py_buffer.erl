%% SPDX-License-Identifier: Apache-2.0
%% @doc Bytes that Erlang writes and Python reads as a file.
%%
%% Python makes `erlang.PyBuffer(term)' of it, whose `read', `readline' and
%% iteration wait for data, and find the end of the file where Erlang closed the
%% buffer.
-module(py_buffer).

-export([new/0, new/1, write/2, close/1, services/0]).

-export_type([buffer/0]).

-opaque buffer() :: {py_buffer, pid(), pos_integer() | infinity}.

-define(TAG, py_buffer).

%% @doc A new buffer, owned by the calling process.
-spec new() -> {ok, buffer()} | py_channel:failure().
new() ->
    new(#{}).

%% @doc A new buffer; `max_size' limits the bytes that are written and not read.
%% Instead of options, how long the content will be may be given, or
%% `undefined': that is a promise which nothing here needs.
-spec new(py_channel:options() | non_neg_integer() | undefined) ->
    {ok, buffer()} | py_channel:failure().
new(undefined) ->
    new(#{});
new(Length) when is_integer(Length), Length >= 0 ->
    new(#{});
new(Options) ->
    py_channel:open(?TAG, stream, Options).

%% @doc Add bytes.  `busy': with them there would be more than `max_size'.
-spec write(buffer(), iodata()) -> ok | busy | {error, closed}.
write(Buffer, Data) ->
    Pid = py_channel:pid(?TAG, Buffer),
    case iolist_to_binary(Data) of
        <<>> -> empty(Pid);
        Binary -> py_channel:told(send(Pid, Binary), bytes)
    end.

send(Pid, Binary) ->
    py_channel_server:send(Pid, byte_size(Binary), {bytes, Binary}).

%% Nothing to read must not wake a reader: it would take it for the end.
empty(Pid) ->
    case py_channel_server:info(Pid) of
        {_, true} -> {error, closed};
        {_, false} -> ok
    end.

%% @doc The end of the data.
-spec close(buffer()) -> ok.
close(Buffer) ->
    py_channel_server:close(py_channel:pid(?TAG, Buffer)).

%% @private
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"buffer">>, <<"read">>}, fun([Term, Most, Token]) -> read(Term, Most, Token) end}].

read(Term, Most, Token) when is_integer(Most), Most > 0 ->
    Pid = py_channel:pid(?TAG, Term),
    case py_channel_server:recv(Pid, Most, py_wait:left(infinity), Token) of
        {ok, Data} -> Data;
        Ended -> Ended
    end.
