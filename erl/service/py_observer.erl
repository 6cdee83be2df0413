%% SPDX-License-Identifier: Apache-2.0
%% @doc Offers to Python the services by which it can be watched (what it prints,
%% logs and traces), and is the one process that changes what is watched.
-module(py_observer).
-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, terminate/2]).

-record(state, {handlers = [], tracing = false}).

%% @doc Start it; before any context.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

services() ->
    [{{<<"io">>, <<"put">>}, fun py_stdout:service_put/1},
     {{<<"log">>, <<"put">>}, fun py_logger:service_put/1},
     {{<<"trace">>, <<"parent">>}, fun py_tracer:service_parent/1},
     {{<<"trace">>, <<"call">>}, fun py_tracer:service_call/1},
     {{<<"trace">>, <<"spans">>}, fun py_tracer:service_spans/1}].

%% @private
-spec init([]) -> {ok, #state{}}.
init([]) ->
    process_flag(trap_exit, true),
    ok = py_events:clear(),
    ok = py_log_level:clear(),
    ok = py_tracer:new_table(),
    lists:foreach(fun({Key, Fun}) -> ok = py_registry:put_function(Key, Fun) end, services()),
    {ok, #state{}}.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({attach, {Id, _, _, _} = Handler}, _From, #state{handlers = Handlers} = State) ->
    case lists:keymember(Id, 1, Handlers) of
        true -> {reply, {error, already_exists}, State};
        false -> {reply, ok, changed(State#state{handlers = Handlers ++ [Handler]})}
    end;
handle_call({detach, Id}, _From, #state{handlers = Handlers} = State) ->
    case lists:keytake(Id, 1, Handlers) of
        {value, _, Left} -> {reply, ok, changed(State#state{handlers = Left})};
        false -> {reply, {error, not_found}, State}
    end;
handle_call({tracing, On}, _From, State) ->
    {reply, ok, changed(State#state{tracing = On})};
handle_call({log_level, Scope, Level}, _From, State) ->
    {reply, py_log_level:put(Scope, Level), State};
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

changed(#state{handlers = Handlers, tracing = Tracing} = State) ->
    ok = py_events:keep(Handlers, Tracing),
    State.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({forget_context, Context}, State) ->
    ok = py_log_level:forget(Context),
    {noreply, State};
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, _State) ->
    ok = py_events:clear(),
    py_log_level:clear().
