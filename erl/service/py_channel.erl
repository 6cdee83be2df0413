%% SPDX-License-Identifier: Apache-2.0
%% @doc Channels of terms between Erlang and Python: either side sends, either
%% receives.
%%
%% ```
%% {ok, Channel} = py_channel:new(#{max_size => 65536}),
%% ok = py_channel:send(Channel, {job, 1}),
%% {ok, {job, 1}} = py_channel:recv(Channel, 1000).
%% '''
%% Python gets a channel as an argument like any term, and makes
%% `erlang.Channel(term)' of it.  It belongs to a process and goes with it.
-module(py_channel).

-export([new/0, new/1, send/2, recv/1, recv/2, 'receive'/1, 'receive'/2, try_receive/1, close/1,
         info/1]).
%% For the other kinds.
-export([open/3, limits/1, pid/2, recv_as/3, told/2, services/0]).

-export_type([channel/0, options/0, failure/0]).

-type max_size() :: pos_integer() | infinity.

-opaque channel() :: {py_channel, pid(), max_size()}.

-type options() :: #{max_size => max_size(), owner => pid()}.
%% `max_size': bytes that may lie in it (infinity); `owner': the process that it
%% goes with (the caller).

-type failure() :: {error, {invalid, atom(), term()} | not_started}.

-define(TAG, py_channel).

%% @doc A new channel without a limit, owned by the calling process.
-spec new() -> {ok, channel()} | failure().
new() ->
    new(#{}).

%% @doc A new channel.
-spec new(options()) -> {ok, channel()} | failure().
new(Options) ->
    open(?TAG, term, Options).

%% @doc Put a term in.  `busy': with it there would be more than `max_size' bytes
%% (of the external term format) in the channel; one that is larger than that
%% alone goes into an empty channel.
-spec send(channel(), term()) -> ok | busy | {error, closed}.
send(Channel, Term) ->
    told(py_channel_server:send(pid(?TAG, Channel), erlang:external_size(Term), Term), none).

%% @doc Wait for the next term.  `{error, closed}' when the channel is closed and
%% empty.
-spec recv(channel()) -> {ok, term()} | {error, closed | timeout}.
recv(Channel) ->
    recv(Channel, infinity).

%% @doc The same for at most so many milliseconds.
-spec recv(channel(), timeout()) ->
    {ok, term()} | {error, closed | timeout | {invalid, timeout, term()}}.
recv(Channel, Timeout) ->
    recv_as(none, pid(?TAG, Channel), Timeout).

%% @doc `recv/1'.
-spec 'receive'(channel()) -> {ok, term()} | {error, closed | timeout}.
'receive'(Channel) ->
    recv(Channel).

%% @doc `recv/2'.
-spec 'receive'(channel(), timeout()) ->
    {ok, term()} | {error, closed | timeout | {invalid, timeout, term()}}.
'receive'(Channel, Timeout) ->
    recv(Channel, Timeout).

%% @doc The next term, if there is one.
-spec try_receive(channel()) -> {ok, term()} | {error, closed | empty}.
try_receive(Channel) ->
    told(py_channel_server:try_receive(pid(?TAG, Channel), all), none).

%% @doc Let nothing more in; what is there can still be received.
-spec close(channel()) -> ok.
close(Channel) ->
    py_channel_server:close(pid(?TAG, Channel)).

%% @doc Bytes in it, how many may be, and whether it is closed.
-spec info(channel()) -> #{size := non_neg_integer(), max_size := max_size(), closed := boolean()}.
info({?TAG, _, Max} = Channel) ->
    {Size, Closed} = py_channel_server:info(pid(?TAG, Channel)),
    #{size => Size, max_size => Max, closed => Closed}.

%%% For the other kinds

%% @private
-spec open(Tag, py_channel_server:kind(), term()) -> {ok, {Tag, pid(), max_size()}} | failure().
open(Tag, Kind, Options) ->
    case limits(Options) of
        {ok, Max, Owner} ->
            case py_channel_sup:start_channel(Kind, Owner, Max) of
                {ok, Pid} -> {ok, {Tag, Pid, Max}};
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

%% @private
-spec limits(term()) -> {ok, max_size(), pid()} | failure().
limits(Options) when is_map(Options) ->
    maps:fold(fun(max_size, infinity, {ok, _, Owner}) -> {ok, infinity, Owner};
                 (max_size, N, {ok, _, Owner}) when is_integer(N), N > 0 -> {ok, N, Owner};
                 (owner, Owner, {ok, Max, _}) when is_pid(Owner) -> {ok, Max, Owner};
                 (_, _, {error, _} = Error) -> Error;
                 (Key, Value, _) -> {error, {invalid, Key, Value}}
              end, {ok, infinity, self()}, Options);
limits(Other) ->
    {error, {invalid, options, Other}}.

%% @private
-spec pid(atom(), term()) -> pid().
pid(Tag, {Tag, Pid, _}) when is_pid(Pid) -> Pid;
pid(_, Other) -> error({invalid, channel, Other}).

%% @private Wait for what comes next, and tell of it as `told/2' does.
-spec recv_as(none | bytes, pid(), timeout()) ->
    {ok, term()} | {error, closed | timeout | {invalid, timeout, term()}}.
recv_as(Kind, Pid, Timeout) ->
    case py_prepare:is_timeout(Timeout) of
        true -> told(py_channel_server:recv(Pid, all, Timeout, none), Kind);
        false -> {error, {invalid, timeout, Timeout}}
    end.

%% @private Erlang hears `{error, Reason}', and plain binaries.
-spec told(ok | busy | py_channel_server:outcome(), none | bytes) ->
    ok | busy | {ok, term()} | {error, closed | timeout | empty}.
told({ok, {bytes, Data}}, bytes) -> {ok, Data};
told({ok, _} = Item, _) -> Item;
told(ok, _) -> ok;
told(busy, _) -> busy;
told(cancelled, _) -> {error, timeout};
told(Reason, _) -> {error, Reason}.

%%% For Python

%% @private
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"channel">>, Name}, Fun} ||
        {Name, Fun} <- [{<<"new">>, fun([Tag, Max]) -> new_for_python(Tag, Max) end},
                        {<<"send">>, fun([Term, Item]) -> send_for_python(Term, Item) end},
                        {<<"give_back">>, fun([Term, Item]) -> back(Term, Item) end},
                        {<<"receive">>, fun([Term, T, Token]) -> receive_for(Term, T, Token) end},
                        {<<"try_receive">>, fun([Term]) -> try_for_python(Term) end},
                        {<<"close">>, fun([Term]) -> py_channel_server:close(any(Term)) end},
                        {<<"info">>, fun([Term]) -> info_for_python(Term) end}]].

%% A process that runs one call only would take it along when it ends.
new_for_python(Tag, Max) ->
    Owner = py_callback:caller(),
    Limit = case Max of
                none -> infinity;
                _ -> Max
            end,
    case Tag of
        <<"py_channel">> -> open(?TAG, term, #{max_size => Limit, owner => Owner});
        <<"py_byte_channel">> -> open(py_byte_channel, bytes, #{max_size => Limit, owner => Owner})
    end.

any({?TAG, Pid, _}) when is_pid(Pid) -> Pid;
any({py_byte_channel, Pid, _}) when is_pid(Pid) -> Pid;
any(Other) -> error({invalid, channel, Other}).

%% In a channel of bytes they are marked, so that Python gets bytes.
send_for_python({py_byte_channel, _, _} = Term, Data) when is_binary(Data) ->
    py_channel_server:send(any(Term), byte_size(Data), {bytes, Data});
send_for_python({?TAG, _, _} = Term, Item) ->
    py_channel_server:send(any(Term), erlang:external_size(Item), Item).

back({py_byte_channel, _, _} = Term, Data) when is_binary(Data) ->
    py_channel_server:give_back(any(Term), byte_size(Data), {bytes, Data});
back({?TAG, _, _} = Term, Item) ->
    py_channel_server:give_back(any(Term), erlang:external_size(Item), Item).

receive_for(Term, Timeout, Token) ->
    Limit = case Timeout of
                none -> infinity;
                _ -> Timeout
            end,
    py_channel_server:recv(any(Term), all, py_wait:left(Limit), Token).

try_for_python(Term) ->
    py_channel_server:try_receive(any(Term), all).

info_for_python({_, _, Max} = Term) ->
    {Size, Closed} = py_channel_server:info(any(Term)),
    {Size, case Max of infinity -> none; _ -> Max end, Closed}.
