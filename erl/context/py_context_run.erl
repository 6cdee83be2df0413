%% SPDX-License-Identifier: Apache-2.0
%% @doc The process of a context for one run, as long as that goes the usual way: a helper
%% comes, says hello, and the owner has done with it.
%%
%% It is what `py_context_server' says, event by event; but gen_statem, which is most of the
%% work of so short a life, only takes over when something else happens than that.
-module(py_context_run).

-export([begin_it/4]).

-include("py_context_data.hrl").

-type usual() :: {State :: atom(), #data{}, Start :: py_request:deadline()}.
%% With the time at which a helper must be ready.

%% @doc Begin with these options.  The owner, with which it ends, is sent `{Ref, ready}' as
%% soon as it can use the helper, or `{Ref, {unavailable, Reason}}'.
-spec begin_it(py_context_opts:options(), Owner :: pid(), reference(), Keeper :: pid()) -> ok.
begin_it(Options, Owner, Ref, Keeper) ->
    process_flag(trap_exit, true),
    ok = py_context_runs:adopt(Keeper),
    Id = {new, erlang:unique_integer([positive])},
    Data = py_context_server:begun(Id, Options, Owner),
    handle(internal, start, {starting, Data#data{starter = {Owner, Ref}}, infinity}).

-spec usual(usual()) -> ok.
usual({_, _, Start} = Usual) ->
    receive
        {py_helper, _, _} = Message -> handle(info, Message, Usual);
        {Port, _} = Message when is_port(Port) -> handle(info, Message, Usual);
        {'$gen_call', From, finish} -> handle({call, From}, finish, Usual);
        {'DOWN', _, process, _, _} = Message -> handle(info, Message, Usual);
        {'EXIT', _, _} = Message -> handle(info, Message, Usual);
        {'$gen_call', From, Request} -> leave(Usual, {next_event, {call, From}, Request});
        Message -> self() ! Message, leave(Usual, [])
    after py_request:left(Start) ->
        leave(Usual, [])
    end.

-spec handle(gen_statem:event_type(), term(), usual()) -> ok.
handle(Type, Content, {State, Data, _} = Usual) ->
    result(py_context_server:handle_event(Type, Content, State, Data), Usual).

result(keep_state_and_data, Usual) ->
    usual(Usual);
result({keep_state, Data}, {State, _, Start}) ->
    usual({State, Data, Start});
result({next_state, starting, Data, {state_timeout, Ms, start}}, _) ->
    usual({starting, Data, py_request:deadline(Ms)});
result({next_state, ready, Data, [{next_event, internal, swap}]}, _) ->
    handle(internal, swap, {ready, Data, infinity});
result({stop, Reason}, {State, Data, _}) ->
    stop(Reason, State, Data);
result({stop, Reason, Data}, {State, _, _}) ->
    stop(Reason, State, Data);
result({next_state, State, Data, Actions}, _) ->
    leave({State, Data, infinity}, Actions);
result({keep_state, Data, Actions}, {State, _, Start}) ->
    leave({State, Data, Start}, Actions);
result({keep_state_and_data, Actions}, Usual) ->
    leave(Usual, Actions).

stop(Reason, State, Data) ->
    ok = py_context_server:terminate(Reason, State, Data),
    case Reason of
        normal -> ok;
        _ -> exit(Reason)
    end.

%% From here on it is a context like any other.
-spec leave(usual(), gen_statem:action() | [gen_statem:action()]) -> no_return().
leave({State, Data, Start}, Actions) ->
    Timeout = [{state_timeout, py_request:left(Start), start} || Start =/= infinity],
    gen_statem:enter_loop(py_context_server, [], State, Data, self(),
                          Timeout ++ lists:flatten([Actions])).
