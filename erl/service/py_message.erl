%% SPDX-License-Identifier: Apache-2.0
%% @doc What Python's `erlang.send' and its kin ask for beside the sending,
%% which is the courier's: is there such a process, watch it, wait for its end.
-module(py_message).

-export([services/0, watch/2, whereis_name/1, resolve/1, self_of_caller/0, await_end/3]).

%% How long another node may take to say whether a process lives there.
-define(ASK_MS, 5000).

%% @doc Give a receiver this number, if it exists: `gone' if not, `invalid' if
%% it never can, `full' if there are too many.
-spec watch(pos_integer(), term()) -> ok | gone | invalid | full.
watch(Number, Dest) ->
    case py_grants:may_send(py_callback:port(), Dest) andalso find(Dest) of
        false -> invalid;
        {ok, Receiver, _} -> py_courier:watch(py_callback:port(), Number, Receiver);
        Other -> Other
    end.

%% @doc The process that has this name on this node.
-spec whereis_name(term()) -> pid() | none.
whereis_name(Name) ->
    case py_grants:may_send(py_callback:port(), Name) andalso find(Name) of
        {ok, _, Pid} when node(Pid) =:= node() -> Pid;
        _ -> none
    end.

%% @doc The process that is meant by a pid, a name, or a name on a node.
-spec resolve(term()) -> pid() | none.
resolve(Dest) ->
    case find(Dest) of
        {ok, _, Pid} -> Pid;
        gone -> none;
        invalid -> error({invalid, process, Dest})
    end.

%% What the courier sends to, and the process that it is now.
find(Pid) when is_pid(Pid), node(Pid) =:= node() ->
    case is_process_alive(Pid) of
        true -> {ok, Pid, Pid};
        false -> gone
    end;
find(Pid) when is_pid(Pid) ->
    case ask(node(Pid), is_process_alive, [Pid]) of
        true -> {ok, Pid, Pid};
        _ -> gone
    end;
find({Name, Node}) ->
    case {existing(Name), existing(Node)} of
        {{ok, N}, {ok, Here}} when Here =:= node() -> local(N);
        {{ok, N}, {ok, There}} -> remote(N, There);
        {invalid, _} -> invalid;
        {_, invalid} -> invalid;
        _ -> gone
    end;
find(Name) ->
    case existing(Name) of
        {ok, N} -> local(N);
        Other -> Other
    end.

%% A name that is no atom is the name of nothing.
existing(Atom) when is_atom(Atom) ->
    {ok, Atom};
existing(Text) when is_binary(Text) ->
    try
        {ok, binary_to_existing_atom(Text, utf8)}
    catch
        error:_ -> gone
    end;
existing(_) ->
    invalid.

local(Name) ->
    case whereis(Name) of
        Pid when is_pid(Pid) -> {ok, Name, Pid};
        _ -> gone
    end.

remote(Name, Node) ->
    case ask(Node, whereis, [Name]) of
        Pid when is_pid(Pid) -> {ok, {Name, Node}, Pid};
        _ -> gone
    end.

ask(Node, Function, Args) ->
    try
        erpc:call(Node, erlang, Function, Args, ?ASK_MS)
    catch
        _:_ -> no_answer
    end.

%% @doc The process that made the request; outside of any, the context.
-spec self_of_caller() -> pid().
self_of_caller() ->
    Caller = py_callback:caller(),
    true = is_pid(Caller),
    Caller.

%% @doc Wait for the end of a process: `{gone, Reason}'.
-spec await_end(pid(), timeout() | none, term()) ->
    {gone, term()} | timeout | cancelled | helper_gone.
await_end(Pid, Timeout, Token) ->
    Ref = erlang:monitor(process, Pid),
    Wait = py_wait:enter(Ref, Token),
    Outcome = receive
                  {'DOWN', Ref, process, _, Reason} -> {gone, Reason};
                  {Ref, cancelled} -> cancelled;
                  {Ref, _, _, _, _} -> helper_gone
              after py_wait:left(limit(Timeout)) -> timeout
              end,
    ok = py_wait:leave(Wait, Outcome),
    true = erlang:demonitor(Ref, [flush]),
    Outcome.

limit(none) -> infinity;
limit(Ms) -> Ms.

%% @private
-spec services() -> [{py_registry:function_key(), fun(([term()]) -> term())}].
services() ->
    [{{<<"message">>, Name}, Fun} ||
        {Name, Fun} <- [{<<"watch">>, fun([Number, Dest]) -> watch(Number, Dest) end},
                        {<<"whereis">>, fun([Name]) -> whereis_name(Name) end},
                        {<<"resolve">>, fun([Dest]) -> resolve(Dest) end},
                        {<<"self">>, fun([]) -> self_of_caller() end},
                        {<<"await">>, fun([P, T, Token]) -> await_end(P, T, Token) end}]].
