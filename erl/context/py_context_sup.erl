%% SPDX-License-Identifier: Apache-2.0
%% @doc Supervises contexts.  They are `temporary': a context replaces its
%% helper itself, and the router replaces a pool's context that ended, so no
%% script can use up a supervisor's patience.
-module(py_context_sup).
-behaviour(supervisor).

-export([start_link/0, start_context/3, start_new/2]).
-export([init/1]).

%% @doc Start the supervisor.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case supervisor:start_link({local, ?MODULE}, ?MODULE, []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @doc Start a context with checked options; does not wait for its helper.
-spec start_context(term(), py_context_opts:options(), pid() | none) ->
    {ok, pid()} | {error, term()}.
start_context(Id, Options, Owner) ->
    try supervisor:start_child(?MODULE, [Id, Options, Owner]) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    catch
        exit:_ -> {error, not_started}
    end.

%% @doc The same for a context without an id of its own.
-spec start_new(py_context_opts:options(), pid()) -> {ok, pid()} | {error, term()}.
start_new(Options, Owner) ->
    start_context({new, erlang:unique_integer([positive])}, Options, Owner).

%% @private
-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Child = #{id => context, start => {py_context_server, start_link, []},
              restart => temporary,
              shutdown => terrarium_config:get(stop_timeout) + 3000},
    {ok, {#{strategy => simple_one_for_one}, [Child]}}.
