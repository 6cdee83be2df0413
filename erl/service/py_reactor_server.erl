%% SPDX-License-Identifier: Apache-2.0
%% @doc The process beside a reactor's context through which its handoffs go, in
%% order, and no more than a few at once: what a helper keeps of descriptors that
%% nobody has asked for is limited.
%%
%% Each handoff has a worker, which lives until Python surely has the descriptor or
%% surely has it not.  The server ends with its context, and the context with it.
-module(py_reactor_server).
-behaviour(gen_server).

-export([start/2, handoff/4, stats/1, connections/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include("../port/py_wire.hrl").

%% Far below HATCH_KEPT (c_src/helper/hatch.h).
-define(AT_ONCE, 16).

-record(job, {from :: gen_server:from(), fd :: pos_integer(), info :: map(),
              target :: none | {binary(), binary(), binary()}, claim :: py_fd:claim(),
              deadline :: py_request:deadline()}).

-record(state, {context :: pid(), options :: map(),
                workers = #{} :: #{reference() => pid()},
                queue = queue:new() :: queue:queue(#job{}),
                total = 0 :: non_neg_integer(), refused = 0 :: non_neg_integer(),
                failed = 0 :: non_neg_integer()}).

%% @doc Start it for a context, with which it ends.
-spec start(pid(), map()) -> ok | {error, term()}.
start(Context, Options) ->
    case gen_server:start(?MODULE, {Context, Options}, []) of
        {ok, _} -> ok;
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @doc Hand a descriptor over.  The claim says whose it is when this process has no
%% answer: the server, or the time, may end at any moment.
-spec handoff(pid(), pos_integer(), map(), none | {binary(), binary(), binary()}) ->
    ok | {error, term()}.
handoff(Context, Fd, Info, Target) ->
    case py_registry:reactor(Context) of
        {Server, Timeout} ->
            Claim = py_fd:claim(),
            Deadline = py_request:deadline(Timeout),
            try
                gen_server:call(Server, {handoff, Fd, Info, Target, Claim, Deadline}, Timeout)
            catch
                exit:{Reason, _} -> no_answer(Reason, py_fd:revoke(Claim))
            end;
        none ->
            {error, no_reactor(Context)}
    end.

%% Python has it; what became of its context is another matter.
no_answer(_, false) -> ok;
no_answer(timeout, true) -> {error, timeout};
no_answer(Reason, true) -> {error, {context_died, Reason}}.

no_reactor(Context) ->
    case py_registry:find(Context) of
        gone when node(Context) =/= node() -> {remote, node(Context)};
        gone -> {context_died, noproc};
        _ -> {invalid, context, Context}
    end.

%% @doc What it has counted.
-spec stats(pid()) -> {ok, map()} | {error, term()}.
stats(Context) ->
    case py_registry:reactor(Context) of
        {Server, _} ->
            try
                {ok, gen_server:call(Server, stats, infinity)}
            catch
                exit:{Reason, _} -> {error, {context_died, Reason}}
            end;
        none ->
            {error, no_reactor(Context)}
    end.

%% @doc How many connections Python has.
-spec connections(pid()) -> {ok, non_neg_integer()} | {error, term()}.
connections(Context) ->
    Term = {<<"erlang._adopt">>, <<"stats">>, [], #{}},
    py_caller:run(Context, ?FRAME_CALL, 0, Term, terrarium_config:get(call_timeout),
                  {stream, default, pair}).

%% @private
-spec init({pid(), map()}) -> {ok, #state{}} | {stop, not_started}.
init({Context, #{handoff_timeout := Timeout} = Options}) ->
    process_flag(trap_exit, true),
    true = link(Context),
    case py_registry:put_reactor(Context, {self(), Timeout}) of
        ok -> {ok, #state{context = Context, options = Options}};
        {error, Reason} -> {stop, Reason}
    end.

%% @private
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {noreply, #state{}} | {reply, term(), #state{}}.
handle_call({handoff, Fd, Info, Target, Claim, Deadline}, From, #state{queue = Queue} = State) ->
    Job = #job{from = From, fd = Fd, info = Info, target = Target, claim = Claim,
               deadline = Deadline},
    {noreply, next(State#state{queue = queue:in(Job, Queue)})};
handle_call(stats, _, #state{workers = Workers, queue = Queue, options = Options} = State) ->
    Stats = #{total_connections => State#state.total, refused => State#state.refused,
              failed => State#state.failed, waiting => map_size(Workers) + queue:len(Queue),
              max_connections => maps:get(max_connections, Options)},
    {reply, Stats, State};
handle_call(_, _, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({outcome, ok}, #state{total = N} = State) ->
    {noreply, State#state{total = N + 1}};
handle_cast({outcome, {error, full}}, #state{refused = N} = State) ->
    {noreply, State#state{refused = N + 1}};
handle_cast({outcome, {error, _}}, #state{failed = N} = State) ->
    {noreply, State#state{failed = N + 1}};
handle_cast(_, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', Ref, process, _, _}, #state{workers = Workers} = State)
  when is_map_key(Ref, Workers) ->
    {noreply, next(State#state{workers = maps:remove(Ref, Workers)})};
handle_info({'EXIT', Context, _}, #state{context = Context} = State) ->
    {stop, normal, State};
handle_info(_, State) ->
    {noreply, State}.

%% @private
%% Workers end by themselves, now that the context is gone, and answer.
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, #state{context = Context, queue = Queue}) ->
    ok = py_registry:drop_reactor(Context),
    _ = [gen_server:reply(From, {error, {context_died, Reason}})
         || #job{from = From} <- queue:to_list(Queue)],
    ok.

%% Who has given up waiting has revoked.
next(#state{workers = Workers} = State) when map_size(Workers) >= ?AT_ONCE ->
    State;
next(#state{workers = Workers, queue = Queue, context = Context, options = Options} = State) ->
    case queue:out(Queue) of
        {empty, _} ->
            State;
        {{value, #job{claim = Claim} = Job}, Rest} ->
            case py_fd:is_claimed(Claim) of
                true ->
                    next(State#state{queue = Rest});
                false ->
                    Server = self(),
                    Work = fun() -> work(Server, Context, Options, Job) end,
                    {Pid, Ref} = spawn_monitor(Work),
                    next(State#state{queue = Rest, workers = Workers#{Ref => Pid}})
            end
    end.

%%% In the worker

work(Server, Context, Options, #job{from = From} = Job) ->
    {Result, Finish} = give(Context, Options, Job),
    ok = gen_server:cast(Server, {outcome, Result}),
    gen_server:reply(From, Result),
    Finish().

give(Context, #{max_connections := Max, target := Default}, Job) ->
    #job{fd = Fd, info = Info, target = Target, claim = Claim, deadline = Deadline} = Job,
    case py_fd:give(Context, Fd, Claim, [Info, limit(Max), given(Target, Default)], Deadline) of
        {{ok, <<"full">>}, Finish} -> {{error, full}, Finish};
        {{ok, _}, Finish} -> {{error, {protocol, <<"no answer of a handoff">>}}, Finish};
        Other -> Other
    end.

limit(infinity) -> none;
limit(Max) -> Max.

given(none, Default) -> Default;
given(Target, _) -> Target.
