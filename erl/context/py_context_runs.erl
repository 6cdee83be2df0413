%% SPDX-License-Identifier: Apache-2.0
%% @doc Keeps the contexts of runs of strangers' code.
%%
%% A supervisor would be asked for each, start it while others wait, and take it off its
%% list again.  Here the process that wants a context starts it, and hears of it only when
%% its helper is ready; all that a supervisor has to do is left to a link: should this
%% process end, all of them do, and before the application ends they are waited for.
-module(py_context_runs).
-behaviour(gen_server).

-export([start_link/0, start_context/1, adopt/1, most_ms/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% Beyond `stop_timeout', as for any context.
-define(MORE_MS, 3000).
%% What the process of a run makes, in words: it never needs to collect garbage.
-define(RUN_WORDS, 4096).

%% @doc Start it.
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc Start a context with these options for the calling process, with which it ends,
%% and wait until its helper is ready.  Where there is none, nothing is left of it.
-spec start_context(py_context_opts:options()) -> {ok, pid()} | {error, term()}.
start_context(Options) ->
    case whereis(?MODULE) of
        undefined ->
            {error, not_started};
        Keeper ->
            start_context(Options, Keeper)
    end.

%% Both messages bear a reference that is made here, so that no longer mailbox is searched.
start_context(Options, Keeper) ->
    Ref = make_ref(),
    {Pid, Mon} = spawn_opt(py_context_run, begin_it, [Options, self(), Ref, Keeper],
                           [{monitor, [{tag, Ref}]}, {min_heap_size, ?RUN_WORDS}]),
    receive
        {Ref, ready} ->
            true = erlang:demonitor(Mon, [flush]),
            {ok, Pid};
        {Ref, {unavailable, Reason}} ->
            true = erlang:demonitor(Mon, [flush]),
            {error, Reason};
        {Ref, Mon, process, Pid, noproc} ->
            {error, not_started};
        {Ref, Mon, process, Pid, Reason} ->
            {error, {context_died, Reason}}
    end.

%% @doc The calling process is such a context.  (`proc_lib' would do this, but asks for the
%% caller's name first, which takes longer than the whole start.)
-spec adopt(pid()) -> ok.
adopt(Keeper) ->
    true = group_leader(persistent_term:get(?MODULE, group_leader()), self()),
    _ = put('$ancestors', [Keeper]),
    _ = put('$initial_call', {py_context_server, init, 1}),
    true = link(Keeper),
    ok.

%% @doc How long it may take to end.
-spec most_ms() -> pos_integer().
most_ms() ->
    terrarium_config:get(stop_timeout) + 2 * ?MORE_MS.

%%% The process

%% @private
-spec init([]) -> {ok, none}.
init([]) ->
    process_flag(trap_exit, true),
    ok = persistent_term:put(?MODULE, group_leader()),
    {ok, none}.

%% @private
-spec handle_call(term(), gen_server:from(), none) -> {reply, {error, unknown}, none}.
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), none) -> {noreply, none}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
%% One has ended.
-spec handle_info(term(), none) -> {noreply, none}.
handle_info(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), none) -> ok.
terminate(_Reason, _State) ->
    _ = persistent_term:erase(?MODULE),
    {links, Links} = process_info(self(), links),
    Contexts = [{P, erlang:monitor(process, P)}
                || P <- Links, is_pid(P), P =/= whereis(terrarium_sup)],
    lists:foreach(fun({P, _}) -> exit(P, shutdown) end, Contexts),
    Deadline = py_request:deadline(terrarium_config:get(stop_timeout) + ?MORE_MS),
    lists:foreach(fun(Context) -> await(Context, Deadline) end, Contexts).

await({Pid, Mon}, Deadline) ->
    receive
        {'DOWN', Mon, process, _, _} -> ok
    after py_request:left(Deadline) ->
        true = erlang:demonitor(Mon, [flush]),
        true = exit(Pid, kill),
        ok
    end.
