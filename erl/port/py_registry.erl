%% SPDX-License-Identifier: Apache-2.0
%% @doc Owns what must outlive the others: the driver's place in the VM, the
%% table of contexts, the table of runtimes, the table of functions that Python
%% may call, the table of what goes with a helper (its courier, its grants) or with a
%% context (who hands descriptors over to it); the table of who waits for something on
%% a helper's behalf; the tables of processes that work for a reference (py_workers), of
%% what contexts begin with (py_startup) and of errors that are to be awaited
%% (py_stories).
%%
%% A context writes its own row of `py_contexts' and nobody else's; callers
%% read it to find the port without asking a process.
-module(py_registry).
-behaviour(gen_server).

-export([start_link/0]).
-export([publish/2, withdraw/2, find/1, contexts/0]).
-export([keep/2, drop/2, find/2, note_objects/2, has_objects/2]).
-export([put_runtime/2, remove_runtime/1, runtime/1, runtimes/0, put_inherited/2,
         take_inherited/1]).
-export([put_function/2, remove_function/1, function/1, functions/0]).
-export([put_courier/2, courier/1, drop_courier/1]).
-export([put_grants/2, drop_grants/1, grants/1, count_output/3]).
-export([put_handles/2, handles/1]).
-export([put_reactor/2, reactor/1, drop_reactor/1]).

-export([init/1, handle_call/3, handle_cast/2, terminate/2]).

-export_type([row/0, function_key/0]).

-define(CONTEXTS, py_contexts).
-define(RUNTIMES, py_runtimes).
-define(FUNCTIONS, py_functions).
-define(HELPERS, py_helpers).

-define(WAITS, py_waits).
-define(WORKERS, py_workers).
-define(STARTUP, py_startup).
-define(STORIES, py_stories).

-define(FEW, 8). % helpers of a context

-type function_key() :: binary() | {binary(), binary()}.
%% The name of a user's function; or service and function of this library's own.

-type row() ::
    {ready, port(), Generation :: pos_integer(), py_request:limits(),
     pair | map | {capture, pos_integer(), pair | map}}
  | starting
  | {unavailable, Reason :: term()}.
%% What a context tells its callers.

%% @doc Start it; fails where the driver can not be loaded.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @doc The calling context's row.
-spec publish(pid(), row()) -> ok.
publish(Context, Row) ->
    true = ets:insert(?CONTEXTS, {Context, Row}),
    ok.

%% @doc The context is no more, nor is any helper of it, the last of this generation,
%% which is not known of one that was killed.
-spec withdraw(pid(), non_neg_integer() | unknown) -> ok.
withdraw(Context, Generation) ->
    try
        true = ets:delete(?CONTEXTS, Context),
        forget_generations(Context, Generation)
    catch
        error:badarg -> ok
    end.

%% One by one where there were few: a pattern looks at the rows of all contexts.
forget_generations(Context, Last) when is_integer(Last), Last =< ?FEW ->
    lists:foreach(fun(N) -> ok = drop(Context, N) end, lists:seq(1, Last));
forget_generations(Context, _) ->
    _ = [true = ets:match_delete(?CONTEXTS, {Key, '_'})
         || Key <- [{Context, '_'}, {objects, Context, '_'}]],
    ok.

%% @doc A helper that the calling context had before still answers for its objects.
-spec keep(pid(), row()) -> ok.
keep(Context, {ready, _, Generation, _, _} = Row) ->
    true = ets:insert(?CONTEXTS, {{Context, Generation}, Row}),
    ok.

%% @doc It does not any more.
-spec drop(pid(), pos_integer()) -> ok.
drop(Context, Generation) ->
    true = ets:delete(?CONTEXTS, {Context, Generation}),
    true = ets:delete(?CONTEXTS, {objects, Context, Generation}),
    ok.

%% @doc The row of the helper of this generation; if there is none, what the context
%% tells now.
-spec find(pid(), pos_integer()) -> row() | gone.
find(Context, Generation) ->
    case find(Context) of
        {ready, _, Generation, _, _} = Row ->
            Row;
        Now ->
            try
                ets:lookup_element(?CONTEXTS, {Context, Generation}, 2)
            catch
                error:badarg -> Now
            end
    end.

%% @doc A reference to an object of that helper is about to be asked for.
-spec note_objects(pid(), pos_integer()) -> ok.
note_objects(Context, Generation) ->
    try
        _ = has_objects(Context, Generation)
            orelse ets:insert(?CONTEXTS, {{objects, Context, Generation}, true}),
        ok
    catch
        error:badarg -> ok
    end.

%% @doc Was one ever?
-spec has_objects(pid(), pos_integer()) -> boolean().
has_objects(Context, Generation) ->
    ets:member(?CONTEXTS, {objects, Context, Generation}).

%% @doc A context's row; `gone' where there is none.
-spec find(pid()) -> row() | gone.
find(Context) ->
    try
        ets:lookup_element(?CONTEXTS, Context, 2)
    catch
        error:badarg -> gone
    end.

%% @doc All contexts.
-spec contexts() -> [pid()].
contexts() ->
    try
        [Context || {Context, _} <- ets:tab2list(?CONTEXTS), is_pid(Context)]
    catch
        error:badarg -> []
    end.

%% @doc This process runs the runtime of that name.
-spec put_runtime(atom(), pid()) -> ok.
put_runtime(Name, Pid) ->
    true = ets:insert(?RUNTIMES, {Name, Pid}),
    ok.

%% @doc There is no such runtime any more.
-spec remove_runtime(atom()) -> ok.
remove_runtime(Name) ->
    true = ets:delete(?RUNTIMES, Name),
    ok.

%% @doc The process of a runtime.
-spec runtime(atom()) -> pid() | none.
runtime(Name) ->
    try ets:lookup_element(?RUNTIMES, Name, 2) catch error:badarg -> none end.

%% @doc All runtimes.
-spec runtimes() -> [{atom(), pid()}].
runtimes() ->
    [{Name, Pid} || {Name, Pid} <- ets:tab2list(?RUNTIMES), is_atom(Name)].

%% @doc The launcher left a control socket for this runtime.
-spec put_inherited(atom(), non_neg_integer()) -> ok.
put_inherited(Name, Fd) ->
    true = ets:insert(?RUNTIMES, {{inherited, Name}, Fd}),
    ok.

%% @doc Take that socket: it is adopted once.
-spec take_inherited(atom()) -> {ok, non_neg_integer()} | none.
take_inherited(Name) ->
    case ets:take(?RUNTIMES, {inherited, Name}) of
        [{_, Fd}] -> {ok, Fd};
        [] -> none
    end.

%% @doc Python may call this function under this name.
-spec put_function(function_key(), function() | {module(), atom()}) -> ok | {error, not_started}.
put_function(Name, Function) ->
    try ets:insert(?FUNCTIONS, {Name, Function}) of
        true -> ok
    catch
        error:badarg -> {error, not_started}
    end.

%% @doc And not any more.
-spec remove_function(function_key()) -> ok.
remove_function(Name) ->
    drop_row(?FUNCTIONS, Name).

%% @doc What this name stands for.
-spec function(term()) -> function() | {module(), atom()} | none.
function(Name) ->
    try
        ets:lookup_element(?FUNCTIONS, Name, 2)
    catch
        error:badarg -> none
    end.

%% @doc All names that users gave.
-spec functions() -> [binary()].
functions() ->
    [Name || {Name, _} <- ets:tab2list(?FUNCTIONS), is_binary(Name)].

%% @doc This process delivers what the helper of this port sends, if no other does.
-spec put_courier(port(), pid()) -> boolean().
put_courier(Port, Pid) ->
    ets:insert_new(?HELPERS, {{courier, Port}, Pid}).

%% @doc The courier of a helper.
-spec courier(port()) -> pid() | none.
courier(Port) ->
    try ets:lookup(?HELPERS, {courier, Port}) of
        [{_, Courier}] -> Courier;
        [] -> none
    catch
        error:badarg -> none
    end.

%% @doc It does not any more.
-spec drop_courier(port()) -> ok.
drop_courier(Port) ->
    drop_row(?HELPERS, {courier, Port}).

%% @doc What the helper of this port may ask for; the numbers count what it prints, and
%% since how many requests.
-spec put_grants(port(), term()) -> ok.
put_grants(Port, Grants) ->
    true = ets:insert(?HELPERS, {{grants, Port}, Grants, 0, 0}),
    ok.

%% @doc Its grants, and how much it has printed.
-spec grants(port()) -> {term(), non_neg_integer()} | none.
grants(Port) ->
    try ets:lookup(?HELPERS, {grants, Port}) of
        [{_, Grants, Printed, _}] -> {Grants, Printed};
        [] -> none
    catch
        error:badarg -> none
    end.

%% @doc It has printed more, after this many requests had ended; the sum since.  Of two
%% processes that begin anew at once, the bytes of one may not be counted.
-spec count_output(port(), non_neg_integer(), non_neg_integer()) -> non_neg_integer().
count_output(Port, Bytes, Ended) ->
    Key = {grants, Port},
    try
        case Ended > ets:lookup_element(?HELPERS, Key, 4) of
            true ->
                _ = ets:update_element(?HELPERS, Key, [{3, Bytes}, {4, Ended}]),
                Bytes;
            false ->
                ets:update_counter(?HELPERS, Key, {3, Bytes})
        end
    catch
        error:badarg -> 0
    end.

%% @doc It has none any more, nor handles.
-spec drop_grants(port()) -> ok.
drop_grants(Port) ->
    ok = drop_row(?HELPERS, {handles, Port}),
    drop_row(?HELPERS, {grants, Port}).

%% @doc What the helper of this port has in the place of identifiers.
-spec put_handles(port(), {ets:table(), pos_integer()}) -> ok.
put_handles(Port, Handles) ->
    true = ets:insert(?HELPERS, {{handles, Port}, Handles}),
    ok.

%% @doc The same.
-spec handles(port()) -> {ets:table(), pos_integer()} | none.
handles(Port) ->
    try ets:lookup_element(?HELPERS, {handles, Port}, 2) catch error:badarg -> none end.

%% @doc This process hands descriptors over to a context.
-spec put_reactor(pid(), {pid(), timeout()}) -> ok | {error, not_started}.
put_reactor(Context, Server) ->
    try ets:insert(?HELPERS, {{reactor, Context}, Server}) of
        true -> ok
    catch
        error:badarg -> {error, not_started}
    end.

%% @doc The process that does, and how long it may take.
-spec reactor(pid()) -> {pid(), timeout()} | none.
reactor(Context) ->
    try
        ets:lookup_element(?HELPERS, {reactor, Context}, 2)
    catch
        error:badarg -> none
    end.

%% @doc It does not any more.
-spec drop_reactor(pid()) -> ok.
drop_reactor(Context) ->
    drop_row(?HELPERS, {reactor, Context}).

%% Fine if the application has gone.
drop_row(Table, Key) ->
    try ets:delete(Table, Key) of
        true -> ok
    catch
        error:badarg -> ok
    end.

%% @private
-spec init([]) -> {ok, state} | {stop, term()}.
init([]) ->
    process_flag(trap_exit, true),
    case py_port:load() of
        ok ->
            Options = [named_table, public, set, {read_concurrency, true}],
            ?CONTEXTS = ets:new(?CONTEXTS, Options),
            ?RUNTIMES = ets:new(?RUNTIMES, Options),
            ?FUNCTIONS = ets:new(?FUNCTIONS, Options),
            ?HELPERS = ets:new(?HELPERS, [{write_concurrency, true} | Options]),
            ?STORIES = ets:new(?STORIES, [{write_concurrency, true} | Options]),
            ?STARTUP = ets:new(?STARTUP, Options),
            Written = [named_table, public, {write_concurrency, true}],
            ?WAITS = ets:new(?WAITS, [ordered_set | Written]),
            ?WORKERS = ets:new(?WORKERS, [set | Written]),
            {ok, state};
        {error, Reason} ->
            {stop, Reason}
    end.

%% @private
-spec handle_call(term(), gen_server:from(), state) -> {reply, {error, unknown}, state}.
handle_call(_Request, _From, State) ->
    {reply, {error, unknown}, State}.

%% @private
-spec handle_cast(term(), state) -> {noreply, state}.
handle_cast(_Message, State) ->
    {noreply, State}.

%% @private
-spec terminate(term(), state) -> ok.
terminate(_Reason, _State) ->
    py_port:unload().
