%% SPDX-License-Identifier: Apache-2.0
%% @doc Supervises channels and buffers.  None is started again: its owner has
%% lost what was in it.
-module(py_channel_sup).
-behaviour(supervisor).

-export([start_link/0, start_channel/3]).
-export([init/1]).

%% @doc Start the supervisor.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @doc Start a channel.
-spec start_channel(py_channel_server:kind(), pid(), pos_integer() | infinity) ->
    {ok, pid()} | {error, not_started}.
start_channel(Kind, Owner, Max) ->
    try supervisor:start_child(?MODULE, [Kind, Owner, Max]) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid}
    catch
        exit:_ -> {error, not_started}
    end.

%% @private
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Channel = #{id => channel, start => {py_channel_server, start_link, []},
                restart => temporary, shutdown => 1000},
    {ok, {#{strategy => simple_one_for_one}, [Channel]}}.
