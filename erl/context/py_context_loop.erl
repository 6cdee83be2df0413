%% SPDX-License-Identifier: Apache-2.0
%% @doc Starts and stops the event loop of a context (`py/erlang/_loop.py').
-module(py_context_loop).

-export([start/2, stop/2]).

-export_type([options/0]).

-include("../port/py_wire.hrl").

-define(MAX_MS, 3600000).

-type options() :: #{debug => boolean(), timeout => timeout()}.

%% @doc Start it; fine if it runs.
-spec start(pid(), options()) -> ok | {error, term()}.
start(Context, Options) when is_map(Options) ->
    checked(maps:to_list(Options), Context, none, terrarium_config:get(call_timeout));
start(_, Options) ->
    {error, {invalid, options, Options}}.

checked([], Context, Debug, Timeout) ->
    case ask(Context, <<"open">>, [Debug], Timeout) of
        {ok, none} -> ok;
        {error, _} = Error -> Error
    end;
checked([{debug, Debug} | Rest], Context, _, Timeout) when is_boolean(Debug) ->
    checked(Rest, Context, Debug, Timeout);
checked([{timeout, Timeout} | Rest], Context, Debug, _)
  when Timeout =:= infinity; is_integer(Timeout), Timeout >= 0, Timeout =< 16#ffffffff ->
    checked(Rest, Context, Debug, Timeout);
checked([{Key, Value} | _], _, _, _) ->
    {error, {invalid, Key, Value}}.

%% @doc Stop it; fine if it does not run.
-spec stop(pid(), non_neg_integer()) -> ok | {error, blocked | term()}.
stop(Context, Milliseconds) when is_integer(Milliseconds), Milliseconds >= 0,
                                 Milliseconds =< ?MAX_MS ->
    case ask(Context, <<"close">>, [Milliseconds / 1000], infinity) of
        {ok, true} -> ok;
        {ok, false} -> {error, blocked};
        {error, _} = Error -> Error
    end;
stop(_, Milliseconds) ->
    {error, {invalid, timeout, Milliseconds}}.

ask(Context, Function, Args, Timeout) ->
    Term = {<<"erlang._loop">>, Function, Args, #{}},
    py_caller:run(Context, ?FRAME_CALL, 0, Term, Timeout, {stream, 1, pair}).
