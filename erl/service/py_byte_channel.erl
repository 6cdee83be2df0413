%% SPDX-License-Identifier: Apache-2.0
%% @doc Channels of bytes: as `py_channel', but what is sent is a binary (or an
%% iolist), and Python, with `erlang.ByteChannel(term)', gets `bytes'.
-module(py_byte_channel).

-export([new/0, new/1, send/2, recv/1, recv/2, 'receive'/1, 'receive'/2, try_receive/1, close/1,
         info/1]).

-export_type([channel/0]).

-opaque channel() :: {py_byte_channel, pid(), pos_integer() | infinity}.

-define(TAG, py_byte_channel).

%% @doc A new channel without a limit, owned by the calling process.
-spec new() -> {ok, channel()} | py_channel:failure().
new() ->
    new(#{}).

%% @doc A new channel.
-spec new(py_channel:options()) -> {ok, channel()} | py_channel:failure().
new(Options) ->
    py_channel:open(?TAG, bytes, Options).

%% @doc Put bytes in.
-spec send(channel(), iodata()) -> ok | busy | {error, closed}.
send(Channel, Data) ->
    Binary = iolist_to_binary(Data),
    Pid = py_channel:pid(?TAG, Channel),
    py_channel:told(py_channel_server:send(Pid, byte_size(Binary), {bytes, Binary}), bytes).

%% @doc Wait for what one send put in.
-spec recv(channel()) -> {ok, binary()} | {error, closed | timeout}.
recv(Channel) ->
    recv(Channel, infinity).

%% @doc The same for at most so many milliseconds.
-spec recv(channel(), timeout()) ->
    {ok, binary()} | {error, closed | timeout | {invalid, timeout, term()}}.
recv(Channel, Timeout) ->
    py_channel:recv_as(bytes, py_channel:pid(?TAG, Channel), Timeout).

%% @doc `recv/1'.
-spec 'receive'(channel()) -> {ok, binary()} | {error, closed | timeout}.
'receive'(Channel) ->
    recv(Channel).

%% @doc `recv/2'.
-spec 'receive'(channel(), timeout()) ->
    {ok, binary()} | {error, closed | timeout | {invalid, timeout, term()}}.
'receive'(Channel, Timeout) ->
    recv(Channel, Timeout).

%% @doc What one send put in, if there is something.
-spec try_receive(channel()) -> {ok, binary()} | {error, closed | empty}.
try_receive(Channel) ->
    Pid = py_channel:pid(?TAG, Channel),
    py_channel:told(py_channel_server:try_receive(Pid, all), bytes).

%% @doc Let nothing more in; what is there can still be received.
-spec close(channel()) -> ok.
close(Channel) ->
    py_channel_server:close(py_channel:pid(?TAG, Channel)).

%% @doc Bytes in it, how many may be, and whether it is closed.
-spec info(channel()) ->
    #{size := non_neg_integer(), max_size := pos_integer() | infinity, closed := boolean()}.
info({?TAG, _, Max} = Channel) ->
    {Size, Closed} = py_channel_server:info(py_channel:pid(?TAG, Channel)),
    #{size => Size, max_size => Max, closed => Closed}.
