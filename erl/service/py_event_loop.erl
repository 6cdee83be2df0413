%% SPDX-License-Identifier: Apache-2.0
%% @doc Coroutines on the event loops of contexts.
%%
%% Each context has one loop, of Python's `asyncio', in a thread that is started
%% when it is first needed; every coroutine that Erlang calls there runs on it.
%% A function that is no coroutine function is called as ever, and what it
%% returns is awaited if it can be.
%% ```
%% {ok, none} = py_event_loop:run(asyncio, sleep, [0.1]),
%% Ref = py_event_loop:create_task(asyncio, sleep, [0.1, <<"done">>]),
%% {ok, <<"done">>} = py_event_loop:await(Ref).
%% '''
%% The forms of calls are those of `py:cast/3,4,5'.
-module(py_event_loop).

-export([run/3, run/4, run/5, create_task/3, create_task/4, create_task/5, await/1, await/2,
         spawn_task/3, spawn_task/4, spawn_task/5]).
-export([start/2]).

-include("../port/py_wire.hrl").

-define(RUN_TIMEOUT, 5000).
-define(TAG, async_result).

-type name() :: terrarium_config:name().
-type target() :: py_context:context() | atom().

%% @doc Run a coroutine function to its end, for at most 5 seconds.
-spec run(name(), name(), [term()]) -> py_context:result().
run(Module, Function, Args) ->
    run_form([Module, Function, Args]).

%% @doc Either `run(Module, Function, Args, Options)' or
%% `run(ContextOrPool, Module, Function, Args)'.
-spec run(name() | target(), name(), name() | [term()], timeout() | map() | [term()]) ->
    py_context:result().
run(Module, Function, Args, Options) when is_list(Args), not is_list(Options) ->
    run_form([Module, Function, Args, #{}, Options]);
run(Target, Module, Function, Args) ->
    run_form([Target, Module, Function, Args]).

%% @doc `run(ContextOrPool, Module, Function, Args, Options)'.
-spec run(target(), name(), name(), [term()], timeout() | map()) -> py_context:result().
run(Target, Module, Function, Args, Options) ->
    run_form([Target, Module, Function, Args, Options]).

run_form(Parts) ->
    case py_forms:parse(Parts) of
        {ok, {Target, M, F, A, Kw, Options}} ->
            Ref = py_cast:coroutine({Target, M, F, A, Kw, timed(Options)}),
            py_cast:await(Ref, infinity, ?TAG);
        {error, _} = Error ->
            Error
    end.

timed(Options) when is_map(Options), not is_map_key(timeout, Options) ->
    Options#{timeout => ?RUN_TIMEOUT};
timed(Options) ->
    Options.

%% @doc Start a coroutine; its value comes as `{async_result, Ref, Result}'.
-spec create_task(name(), name(), [term()]) -> reference().
create_task(Module, Function, Args) ->
    start([Module, Function, Args], ?TAG).

%% @doc As `py:cast/4'.
-spec create_task(name() | target(), name(), name() | [term()], map() | [term()]) ->
    reference().
create_task(A, B, C, D) ->
    start([A, B, C, D], ?TAG).

%% @doc As `py:cast/5'.
-spec create_task(name() | target(), name(), name() | [term()], map() | [term()],
                  timeout() | map()) -> reference().
create_task(A, B, C, D, E) ->
    start([A, B, C, D, E], ?TAG).

%% @doc Wait for a task, for as long as a call may take.
-spec await(reference()) -> py_context:result().
await(Ref) ->
    await(Ref, terrarium_config:get(call_timeout)).

%% @doc The same with a timeout; then the task is cancelled.
-spec await(reference(), timeout()) -> py_context:result().
await(Ref, Timeout) ->
    py_cast:await(Ref, Timeout, ?TAG).

%% @doc Start a coroutine of which nobody is told.
-spec spawn_task(name(), name(), [term()]) -> ok.
spawn_task(Module, Function, Args) ->
    forget([Module, Function, Args]).

%% @doc As `py:cast/4'.
-spec spawn_task(name() | target(), name(), name() | [term()], map() | [term()]) -> ok.
spawn_task(A, B, C, D) ->
    forget([A, B, C, D]).

%% @doc As `py:cast/5'.
-spec spawn_task(name() | target(), name(), name() | [term()], map() | [term()],
                 timeout() | map()) -> ok.
spawn_task(A, B, C, D, E) ->
    forget([A, B, C, D, E]).

forget(Parts) ->
    case py_forms:parse(Parts) of
        {ok, Form} ->
            {Context, Request} = py_forms:prepare(Form, ?FLAG_ASYNC),
            _ = py_cast:start(Context, Request, #{tag => ?TAG, reply => false}),
            ok;
        {error, _} ->
            ok
    end.

%% @private
-spec start([term()], atom()) -> reference().
start(Parts, Tag) ->
    py_cast:form(Parts, ?FLAG_ASYNC, Tag).
