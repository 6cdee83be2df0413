%% SPDX-License-Identifier: Apache-2.0
%% @doc Python objects that processes of other nodes hold.
%%
%% A handle only tells that it was collected on the node on which it was made.  So a
%% reference that goes to another node as a result is lent: this node keeps its handle
%% in a table, and the other one makes a handle of its own, of which its process here
%% is told when it has been collected, whereupon it tells the process of the lender.
%%
%% That process owns the table; runners put into it.  It deletes what has been given
%% back, all that a node held which is lost, and what nobody has taken: its asker gave
%% up, or died.
-module(py_lent).
-behaviour(gen_server).

-export([start_link/0, lent/1, taken/1, hold/1, release/1, sound/2, live/0]).
-export([lend/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([lent/0]).

-include("../../port/py_wire.hrl").

-define(TABLE, py_lent).
%% How long a result may be on its way.
-define(TAKE_MS, 60000).

-type lent() :: {lent, Lender :: pid(), Key :: pos_integer()}.
%% In place of a handle, while a reference is on its way.

%% Rows of the table: `{Key, Handle, none | Holder}', the process here of the node that
%% has it; and, on the side of the holder, `{Lender, Number}': that number stands for
%% this lender in the handles that were made here.

%% @doc Start the process that lends and borrows.
-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @doc A result as it goes to another node: if it is a reference, that is lent.
-spec lent(term()) -> term().
lent({ok, Ref}) ->
    case py_ref:is_ref(Ref) of
        true -> lend(Ref);
        false -> {ok, Ref}
    end;
lent({pool, Result, Load}) ->
    {pool, lent(Result), Load};
lent(Result) ->
    Result.

%% @private Lend a reference that has a handle of this node.
-spec lend(py_ref:t()) -> {ok, py_ref:t()} | {error, {stale_ref, py_ref:t()} | not_started}.
lend(Ref) ->
    Handle = py_ref:handle(Ref),
    case {whereis(?MODULE), py_ref_nif:is_held(Handle)} of
        {undefined, _} ->
            {error, not_started};
        {_, false} ->
            {error, {stale_ref, Ref}};
        {Lender, true} ->
            Key = erlang:unique_integer([positive]),
            %% First, since this process may be killed in between.
            Lender ! {lent, Key},
            true = ets:insert(?TABLE, {Key, Handle, none}),
            {ok, py_ref:with_handle({lent, Lender, Key}, Ref)}
    end.

%% @doc A result that has come from another node: if it is a reference, it is held from
%% now on by a handle of this one.
-spec taken(term()) -> term().
taken({ok, Ref} = Result) ->
    case py_ref:is_ref(Ref) andalso py_ref:handle(Ref) of
        {lent, Lender, Key} -> take(Ref, Lender, Key, whereis(?MODULE));
        _ -> Result
    end;
taken({pool, Result, Load}) ->
    {pool, taken(Result), Load};
taken(Result) ->
    Result.

take(Ref, Lender, Key, Holder) ->
    case number(Lender, Holder) of
        none ->
            Lender ! {returned, Key},
            {error, not_started};
        Number ->
            Handle = py_ref_nif:new(Holder, Number, Key),
            Lender ! {taken, Key, Holder},
            {ok, py_ref:with_handle(Handle, Ref)}
    end.

number(Lender, Holder) ->
    try
        ets:lookup_element(?TABLE, Lender, 2)
    catch
        error:badarg -> ask_number(Lender, Holder)
    end.

ask_number(_, undefined) ->
    none;
ask_number(Lender, Holder) ->
    try
        gen_server:call(Holder, {number, Lender}, infinity)
    catch
        exit:_ -> none
    end.

%% @doc The same reference with a handle of this node, which keeps the object: for one
%% that came from another node in a message.
-spec hold(py_ref:t()) -> {ok, py_ref:t()} | {error, term()}.
hold(Ref) ->
    case py_ref:handle(Ref) of
        Handle when is_reference(Handle), node(Handle) =/= node() ->
            taken(py_afar:call(node(Handle), ?MODULE, lend, [Ref]));
        _ ->
            case py_ref:is_held(Ref) of
                true -> {ok, Ref};
                false -> {error, {stale_ref, Ref}}
            end
    end.

%% @doc Let go of an object without waiting for its handles.
-spec release(py_ref:t()) -> ok.
release(Ref) ->
    Context = py_ref:context(Ref),
    case py_caller:port_of(Context, Ref) of
        {ok, Port} ->
            _ = py_port:notice(Port, ?FRAME_RELEASE, term_to_binary({py_ref:id(Ref)})),
            ok;
        {error, _} when node(Context) =/= node() ->
            _ = py_afar:call(node(Context), ?MODULE, release, [Ref]),
            ok;
        {error, _} ->
            ok
    end.

%% @doc The result of a request about an object, for another node: that the helper has no
%% such object is said to be that.  Nobody there has let go of it, but the two nodes may
%% have lost each other, or the reference may be one that does not keep it.
-spec sound({ok, term()} | {error, term()}, py_ref:t()) -> {ok, term()} | {error, term()}.
sound({error, {"LookupError", Message}} = Error, Ref) ->
    stale(unicode:characters_to_binary(Message), Ref, Error);
sound({error, #{type := <<"LookupError">>, message := Message}} = Error, Ref) ->
    stale(Message, Ref, Error);
sound(Result, _) ->
    Result.

stale(Message, Ref, Error) ->
    Id = integer_to_binary(py_ref:id(Ref)),
    case Message of
        <<"no object reference ", Id/binary>> -> {error, {stale_ref, Ref}};
        _ -> Error
    end.

%% @doc How many objects other nodes hold.
-spec live() -> non_neg_integer().
live() ->
    length(ets:match(?TABLE, {'$1', '_', '_'})).

%%% The process

-type state() :: #{pid() => reference(), pos_integer() => pid()}.
%% Monitors of the others of its kind; which lender a number stands for.

%% @private
-spec init([]) -> {ok, state()}.
init([]) ->
    ?TABLE = ets:new(?TABLE, [named_table, public, set, {read_concurrency, true},
                              {write_concurrency, true}]),
    {ok, #{}}.

%% @private
-spec handle_call(term(), gen_server:from(), state()) -> {reply, term(), state()}.
handle_call({number, Lender}, _From, State) ->
    Number = case ets:lookup(?TABLE, Lender) of
                 [{_, Known}] -> Known;
                 [] -> erlang:unique_integer([positive])
             end,
    true = ets:insert(?TABLE, {Lender, Number}),
    {reply, Number, watched(Lender, State#{Number => Lender})};
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

watched(Pid, State) when is_map_key(Pid, State) -> State;
watched(Pid, State) -> State#{Pid => erlang:monitor(process, Pid)}.

%% @private
-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info({lent, Key}, State) ->
    _ = erlang:send_after(?TAKE_MS, self(), {untaken, Key}),
    {noreply, State};
handle_info({untaken, Key}, State) ->
    _ = ets:match_delete(?TABLE, {Key, '_', none}),
    {noreply, State};
handle_info({taken, Key, Holder}, State) ->
    _ = ets:update_element(?TABLE, Key, {3, Holder}),
    {noreply, watched(Holder, State)};
handle_info({returned, Key}, State) ->
    true = ets:delete(?TABLE, Key),
    {noreply, State};
%% From a handle that was made here.
handle_info({py_release, Number, Key}, State) ->
    _ = case State of
            #{Number := Lender} -> Lender ! {returned, Key};
            _ -> ok
        end,
    {noreply, State};
handle_info({'DOWN', _, process, Pid, _}, State) ->
    _ = ets:match_delete(?TABLE, {'_', '_', Pid}),
    {noreply, forgotten(Pid, ets:take(?TABLE, Pid), maps:remove(Pid, State))};
handle_info(_Other, State) ->
    {noreply, State}.

forgotten(_, [{_, Number}], State) -> maps:remove(Number, State);
forgotten(_, [], State) -> State.
